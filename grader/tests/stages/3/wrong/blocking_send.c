/*
 * Mistake: Its sockets block: send() to a client that does not read keeps all
 *   the others waiting.
 * Must fail: blocking/never_reads
 * Says: sleeps in send() on the connection of the stalled client
 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int epoll_fd;

static void die(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

int create_server(int port)
{
	struct sockaddr_in address;
	int enable = 1;
	int listen_sock_fd;

	listen_sock_fd = socket(AF_INET, SOCK_STREAM, 0);
	if (listen_sock_fd < 0)
		die("socket");
	if (setsockopt(listen_sock_fd, SOL_SOCKET, SO_REUSEADDR, &enable,
		       sizeof(enable)) < 0)
		die("setsockopt");
	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t)port);
	address.sin_addr.s_addr = htonl(INADDR_ANY);
	if (bind(listen_sock_fd, (struct sockaddr *)&address, sizeof(address)) <
	    0)
		die("bind");
	if (listen(listen_sock_fd, BACKLOG) < 0)
		die("listen");
	printf("[INFO] Server listening on port %d\n", port);
	return listen_sock_fd;
}

static void loop_set(int op, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
		die("epoll_ctl");
}

/* Returns 0 if there is no descriptor for the next client. */
static int accept_client(int listen_sock_fd)
{
	int conn_sock_fd = accept(listen_sock_fd, NULL, NULL);

	if (conn_sock_fd < 0) {
		if (errno == EINTR || errno == ECONNABORTED)
			return 1;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			return 0;
		die("accept");
	}
	loop_set(EPOLL_CTL_ADD, conn_sock_fd, EPOLLIN);
	printf("[INFO] Client connected to server\n");
	return 1;
}

static int send_all(int conn_sock_fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = send(conn_sock_fd, data, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

static void handle_client(int conn_sock_fd)
{
	char buffer[BUFF_SIZE];
	ssize_t n = recv(conn_sock_fd, buffer, sizeof(buffer), 0);

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0 || send_all(conn_sock_fd, buffer, (size_t)n) < 0) {
		loop_set(EPOLL_CTL_DEL, conn_sock_fd, 0);
		close(conn_sock_fd);
		printf("[INFO] Client disconnected\n");
	}
}

int main(int argc, char *argv[])
{
	struct epoll_event events[MAX_EVENTS];
	struct rlimit limit;
	char *end = NULL;
	long port = argc > 1 ? strtol(argv[1], &end, 10) : DEFAULT_PORT;
	int listen_sock_fd, full = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (port < 0 || port > 65535 ||
	    (argc > 1 && (end == argv[1] || *end != '\0'))) {
		fprintf(stderr, "[ERROR] PORT is a number up to 65535\n");
		return EXIT_FAILURE;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
	listen_sock_fd = create_server((int)port);
	epoll_fd = epoll_create1(0);
	if (epoll_fd < 0)
		die("epoll_create1");
	loop_set(EPOLL_CTL_ADD, listen_sock_fd, EPOLLIN);

	for (;;) {
		int n = epoll_wait(epoll_fd, events, MAX_EVENTS,
				   full ? 1000 : -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		if (full) { /* perhaps somebody has left */
			loop_set(EPOLL_CTL_MOD, listen_sock_fd, EPOLLIN);
			full = 0;
		}
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listen_sock_fd) {
				handle_client(events[i].data.fd);
			} else if (!accept_client(listen_sock_fd)) {
				loop_set(EPOLL_CTL_MOD, listen_sock_fd, 0);
				full = 1;
			}
		}
	}
}
