/*
 * Mistake: It looks up a connection in an array by its descriptor, and does not
 *   check that the array is long enough.
 * Must fail: concurrency/thousand, concurrency/burst, resources/sanitizers
 * Says: out of bounds
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 128

typedef enum { WANTS_TO_READ, WANTS_TO_WRITE } conn_state;

typedef struct {
	conn_state state;
	int fd;
	size_t written, length;
	char *data;
} conn;

static conn *conns[MAX_CONNECTIONS];
static int epfd;

static void conn_watch(conn *c, int op)
{
	struct epoll_event ev = {0};

	ev.events = c->state == WANTS_TO_READ ? EPOLLIN : EPOLLOUT;
	ev.data.fd = c->fd;
	epoll_ctl(epfd, op, c->fd, &ev);
}

static void conn_open(int fd)
{
	conn *c = calloc(1, sizeof(conn));

	c->fd = fd;
	c->data = malloc(12000);
	conns[fd] = c;
	conn_watch(c, EPOLL_CTL_ADD);
	printf("[INFO] Client connected to server\n");
}

static void conn_close(conn *c)
{
	conns[c->fd] = NULL;
	close(c->fd);
	free(c->data);
	free(c);
}

static void conn_read(conn *c)
{
	ssize_t n = recv(c->fd, c->data, 12000, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		conn_close(c);
	} else if (n > 0) {
		c->written = 0;
		c->length = (size_t)n;
		c->state = WANTS_TO_WRITE;
		conn_watch(c, EPOLL_CTL_MOD);
	}
}

static void conn_write(conn *c)
{
	ssize_t n = send(c->fd, c->data + c->written, c->length - c->written,
			 MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(c);
		return;
	}
	c->written += (size_t)n;
	if (c->written == c->length) {
		c->state = WANTS_TO_READ;
		conn_watch(c, EPOLL_CTL_MOD);
	}
}

static int serve(int listen_fd)
{
	struct epoll_event events[64], door = {.events = EPOLLIN};
	int i, n, fd, shut = 0;

	door.data.fd = listen_fd;
	epoll_ctl(epfd, EPOLL_CTL_ADD, listen_fd, &door);
	for (;;) {
		n = epoll_wait(epfd, events, 64, shut ? 200 : -1);
		if (n < 0 && errno != EINTR)
			return 1;
		if (shut)
			epoll_ctl(epfd, EPOLL_CTL_ADD, listen_fd, &door);
		shut = 0;
		for (i = 0; i < n; i++) {
			fd = events[i].data.fd;
			if (fd != listen_fd) {
				if (conns[fd]->state == WANTS_TO_READ)
					conn_read(conns[fd]);
				else
					conn_write(conns[fd]);
				continue;
			}
			fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK);
			if (fd >= 0) {
				conn_open(fd);
			} else if (errno == EMFILE) {
				epoll_ctl(epfd, EPOLL_CTL_DEL, listen_fd, NULL);
				shut = 1;
			}
		}
	}
}

int main(int argc, char *argv[])
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct rlimit lim;
	char *end = NULL;
	long port = 8080;
	int fd, on = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		port = strtol(argv[1], &end, 10);
	if (argc > 1 && (*end || end == argv[1] || port < 0 || port > 65535)) {
		fprintf(stderr, "[ERROR] port must be 0..65535\n");
		return 1;
	}
	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	addr.sin_port = htons((unsigned short)port);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		perror("[ERROR] bind");
		return 1;
	}
	if (listen(fd, 511) < 0) {
		perror("[ERROR] listen");
		return 1;
	}
	epfd = epoll_create1(0);
	printf("[INFO] Server listening on port %ld\n", port);
	return serve(fd);
}
