/*
 * Right, but unusual: what it keeps for the listening socket is a block of its
 * own, like a client's, and epoll alone remembers where it is (data.ptr).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct source {
	int fd;
	void (*ready)(struct source *source);
	size_t start, end;
	char buffer[16384];
};

static int epoll_fd, door_fd;
static bool full;

static void accept_clients(struct source *door);

static void fail(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static bool watch(int op, struct source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(epoll_fd, op, source->fd, &event) == 0;
}

/* Like libevent's event_new() and eXpServer's xps_loop_attach(): a block for each. */
static bool attach(int fd, void (*ready)(struct source *source))
{
	struct source *source = calloc(1, sizeof(*source));

	if (!source)
		return false;
	source->fd = fd;
	source->ready = ready;
	if (watch(EPOLL_CTL_ADD, source, EPOLLIN))
		return true;
	free(source);
	return false;
}

static void leave(struct source *client)
{
	close(client->fd);
	free(client);
	if (full && attach(door_fd, accept_clients))
		full = false;
}

static void serve(struct source *client)
{
	if (client->start == client->end) {
		ssize_t count = recv(client->fd, client->buffer, sizeof(client->buffer), 0);

		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (count <= 0) {
			leave(client);
			return;
		}
		client->start = 0;
		client->end = (size_t)count;
	}
	while (client->start < client->end) {
		ssize_t count = send(client->fd, client->buffer + client->start,
				     client->end - client->start, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			break;
		if (count < 0) {
			leave(client);
			return;
		}
		client->start += (size_t)count;
	}
	watch(EPOLL_CTL_MOD, client, client->start < client->end ? EPOLLOUT : EPOLLIN);
}

static void accept_clients(struct source *door)
{
	int fd;

	while ((fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		printf("[INFO] Client connected to server\n");
		fflush(stdout);
		if (!attach(fd, serve))
			close(fd);
	}
	if (errno == EMFILE || errno == ENFILE) {
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, door->fd, NULL);
		free(door);
		full = true;
	}
}

static int parse_port(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || port > 65535) {
		fprintf(stderr, "[ERROR] %s is not a port\n", text);
		exit(EXIT_FAILURE);
	}
	return (int)port;
}

static int create_server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_ANY)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		fail("cannot listen");
	return fd;
}

static void run(void)
{
	struct epoll_event events[64];

	for (;;) {
		int count = epoll_wait(epoll_fd, events, 64, -1);

		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(source);
		}
	}
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	door_fd = create_server(port);
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	epoll_fd = epoll_create1(0);
	if (epoll_fd < 0 || !attach(door_fd, accept_clients))
		fail("epoll");
	run();
}
