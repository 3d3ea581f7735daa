/*
 * Mistake: Two threads wait in the same epoll instance, where one thread is
 *   asked for.
 * Must fail: epoll/one_thread
 */
#define _GNU_SOURCE /* accept4 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
	int fd;
	size_t start, end; /* what of buffer is still to be sent */
	char buffer[BUFF_SIZE];
};

static int epoll_fd, listen_sock_fd;
static _Atomic int paused; /* out of descriptors: the listener is not watched */

int parse_port(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || port > 65535)
		return -1;
	return (int)port;
}

int create_server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int watch(int op, int fd, uint32_t events, void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = owner};

	return epoll_ctl(epoll_fd, op, fd, &event);
}

static void close_connection(struct connection *conn)
{
	close(conn->fd);
	free(conn);
	printf("[INFO] Client disconnected\n");
}

static void accept_clients(void)
{
	struct connection *conn;
	int fd;

	while ((fd = accept4(listen_sock_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		conn = calloc(1, sizeof(*conn));
		if (!conn) {
			close(fd);
			continue;
		}
		conn->fd = fd;
		if (watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, conn) <
		    0) {
			close(fd);
			free(conn);
			continue;
		}
		printf("[INFO] Client connected to server\n");
	}
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		watch(EPOLL_CTL_DEL, listen_sock_fd, 0, NULL);
		paused = 1;
	}
}

static int arm(struct connection *conn)
{
	uint32_t events = conn->start < conn->end ? EPOLLOUT : EPOLLIN;

	return watch(EPOLL_CTL_MOD, conn->fd, events | EPOLLONESHOT, conn);
}

/* Receives if there is room, sends what is there: 0, or -1 if it has left. */
static int serve(struct connection *conn)
{
	ssize_t n;

	if (conn->start == conn->end) {
		n = recv(conn->fd, conn->buffer, sizeof(conn->buffer), 0);
		if (n == 0)
			return -1;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? arm(conn)
								 : -1;
		conn->start = 0;
		conn->end = (size_t)n;
	}
	while (conn->start < conn->end) {
		n = send(conn->fd, conn->buffer + conn->start,
			 conn->end - conn->start, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -1;
		conn->start += (size_t)n;
	}
	return arm(conn);
}

static void *run(void *unused)
{
	struct epoll_event events[MAX_EVENTS];

	(void)unused;
	for (;;) {
		int was_paused = paused;
		int count = epoll_wait(epoll_fd, events, MAX_EVENTS,
				       paused ? 200 : -1);

		if (count < 0 && errno != EINTR) {
			perror("[ERROR] epoll_wait");
			exit(1);
		}
		for (int i = 0; i < count; i++) {
			struct connection *conn = events[i].data.ptr;

			if (!conn)
				accept_clients();
			else if (serve(conn) < 0)
				close_connection(conn);
		}
		if (was_paused) {
			watch(EPOLL_CTL_ADD, listen_sock_fd, EPOLLIN, NULL);
			paused = 0;
		}
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	struct rlimit limit;
	pthread_t second;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (port < 0) {
		fprintf(stderr, "[ERROR] not a port: %s\n", argv[1]);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);

	listen_sock_fd = create_server(port);
	epoll_fd = epoll_create1(0);
	if (listen_sock_fd < 0 || epoll_fd < 0 ||
	    watch(EPOLL_CTL_ADD, listen_sock_fd, EPOLLIN, NULL) < 0) {
		fprintf(stderr, "[ERROR] cannot listen on port %d\n", port);
		return 1;
	}
	printf("[INFO] Server listening on port %d\n", port);

	if (pthread_create(&second, NULL, run, NULL) != 0)
		return 1;
	run(NULL);
	return 1;
}
