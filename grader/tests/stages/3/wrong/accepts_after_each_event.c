/*
 * Mistake: After each event it calls accept(), in case somebody has connected,
 *   and accept() waits until somebody has.
 * Must fail: echo/line
 * Says: sleeps in accept() on its listening socket
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 2048

typedef struct buffer {
	int len, sent;
	char data[SIZE];
} buffer_t;

static buffer_t **buffers; /* buffers[fd], NULL if fd is no client's */
static int ep;

static void drop(int fd)
{
	free(buffers[fd]);
	buffers[fd] = NULL;
	close(fd);
}

static void set_events(int op, int fd, int events)
{
	struct epoll_event e;

	memset(&e, 0, sizeof(e));
	e.events = events;
	e.data.fd = fd;
	epoll_ctl(ep, op, fd, &e);
}

static void on_input(int fd)
{
	buffer_t *b = buffers[fd];

	b->sent = 0;
	b->len = recv(fd, b->data, SIZE, 0);
	if (b->len > 0)
		set_events(EPOLL_CTL_MOD, fd, EPOLLOUT);
	else if (b->len == 0 || (errno != EAGAIN && errno != EINTR))
		drop(fd);
}

static void on_output(int fd)
{
	buffer_t *b = buffers[fd];
	int n = send(fd, b->data + b->sent, b->len - b->sent, MSG_NOSIGNAL);

	if (n > 0)
		b->sent += n;
	else if (errno != EAGAIN && errno != EINTR)
		drop(fd);
	if (n > 0 && b->sent == b->len)
		set_events(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void accept_one(int listen_sock)
{
	int fd = accept(listen_sock, NULL, NULL);

	if (fd < 0)
		return;
	buffers[fd] = malloc(sizeof(buffer_t));
	if (buffers[fd] == NULL) {
		close(fd);
		return;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	set_events(EPOLL_CTL_ADD, fd, EPOLLIN);
	printf("[INFO] Client connected to server\n");
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr;
	struct epoll_event e;
	struct rlimit lim;
	int port = 8080, sock, n, opt = 1;

	setlinebuf(stdout);
	if (argc > 1) {
		port = 0;
		for (char *p = argv[1]; *p; p++) {
			if (*p < '0' || *p > '9' || port > 65535)
				port = 65536;
			else
				port = port * 10 + (*p - '0');
		}
		if (port > 65535 || argv[1][0] == '\0') {
			fprintf(stderr, "[ERROR] Invalid port\n");
			return 1;
		}
	}
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	buffers = calloc(lim.rlim_cur, sizeof(*buffers));

	sock = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &opt, sizeof(opt));
	memset(&addr, 0, sizeof(addr));
	addr.sin_family = AF_INET;
	addr.sin_port = htons(port);
	addr.sin_addr.s_addr = htonl(INADDR_ANY);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == -1 ||
	    listen(sock, 100) == -1 || buffers == NULL) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		return 1;
	}
	ep = epoll_create1(0);
	set_events(EPOLL_CTL_ADD, sock, EPOLLIN);
	printf("[INFO] Server listening on port %d\n", port);

	while (1) {
		n = epoll_wait(ep, &e, 1, -1);
		if (n == 1 && e.data.fd != sock && (e.events & EPOLLOUT))
			on_output(e.data.fd);
		else if (n == 1 && e.data.fd != sock)
			on_input(e.data.fd);
		accept_one(sock);
	}
}
