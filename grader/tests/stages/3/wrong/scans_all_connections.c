/*
 * Mistake: Only the listening socket is in the epoll instance; a hundred times
 *   a second it asks every connection in turn whether there is something to
 *   read.
 * Must fail: epoll/connections
 * May fail: concurrency/thousand, resources/few_descriptors
 */
#define _GNU_SOURCE /* accept4 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
	int fd, start, end;
	char buffer[BUFF_SIZE];
	struct client *next;
};

static struct client *clients;

/* 1 if something moved, 0 if nothing did, -1 if the client has left. */
static int serve(struct client *c)
{
	int n, moved = 0;

	if (c->start == c->end) {
		n = (int)recv(c->fd, c->buffer, sizeof(c->buffer), 0);
		if (n == 0)
			return -1;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		c->start = 0;
		c->end = n;
		moved = 1;
	}
	n = (int)send(c->fd, c->buffer + c->start, (size_t)(c->end - c->start),
		      MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? moved : -1;
	c->start += n;
	return 1;
}

static int serve_all(void)
{
	struct client **link = &clients, *c;
	int busy = 0, result;

	while ((c = *link)) {
		result = serve(c);
		busy |= result > 0;
		if (result >= 0) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		close(c->fd);
		free(c);
	}
	return busy;
}

int main(int argc, char *argv[])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLIN};
	struct rlimit limit;
	char *end = "";
	long port = argc > 1 ? strtol(argv[1], &end, 10) : DEFAULT_PORT;
	int one = 1, full = 0, listen_sock_fd, epoll_fd, fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (*end || port < 0 || port > 65535 || (argc > 1 && !*argv[1])) {
		fprintf(stderr, "[ERROR] bad port '%s'\n", argv[1]);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	listen_sock_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	address.sin_port = htons((uint16_t)port);
	setsockopt(listen_sock_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listen_sock_fd, (struct sockaddr *)&address, sizeof(address)) <
		    0 ||
	    listen(listen_sock_fd, BACKLOG) < 0) {
		perror("[ERROR] cannot listen");
		return 1;
	}
	epoll_fd = epoll_create1(0);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_sock_fd, &event);
	printf("[INFO] Server listening on port %ld\n", port);

	for (;;) {
		while (serve_all())
			;
		if (full)
			usleep(10000); /* the listener would wake us at once */
		else if (epoll_wait(epoll_fd, &event, 1, 10) < 1)
			continue;
		fd = accept4(listen_sock_fd, NULL, NULL, SOCK_NONBLOCK);
		full = fd < 0 && errno != EAGAIN && errno != EINTR;
		if (fd >= 0) {
			struct client *c = calloc(1, sizeof(*c));

			if (!c) {
				close(fd);
				continue;
			}
			c->fd = fd;
			c->next = clients;
			clients = c;
			printf("[INFO] Client connected to server\n");
		}
	}
}
