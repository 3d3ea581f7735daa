/*
 * Right, but unusual: it asks /etc/protocols for the number of TCP, as
 * textbooks do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct client {
	int fd;
	size_t start, end;
	char buffer[16384];
};

static int epoll_fd, door_fd;
static bool full; /* of descriptors: the door is not watched */

static void fail(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void watch(int op, int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
		fail("epoll_ctl");
}

static void leave(struct client *client)
{
	close(client->fd);
	free(client);
	if (full)
		watch(EPOLL_CTL_ADD, door_fd, EPOLLIN, NULL);
	full = false;
}

static void serve(struct client *client)
{
	ssize_t count;

	if (client->start == client->end) {
		count = recv(client->fd, client->buffer, sizeof(client->buffer), 0);
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
		count = send(client->fd, client->buffer + client->start,
			     client->end - client->start, MSG_NOSIGNAL);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN) {
			break;
		}
		if (count < 0) {
			leave(client);
			return;
		}
		client->start += (size_t)count;
	}
	watch(EPOLL_CTL_MOD, client->fd,
	      client->start < client->end ? EPOLLOUT : EPOLLIN, client);
}

static void accept_clients(void)
{
	int fd;

	while ((fd = accept4(door_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct client *client = calloc(1, sizeof(*client));

		if (!client)
			fail("calloc");
		client->fd = fd;
		printf("[INFO] Client connected to server\n");
		fflush(stdout);
		watch(EPOLL_CTL_ADD, fd, EPOLLIN, client);
	}
	if (errno == EMFILE || errno == ENFILE) {
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, door_fd, NULL);
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
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, getprotobyname("tcp")->p_proto);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		fail("socket");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		fail("cannot listen");
	return fd;
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event events[64];
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	door_fd = create_server(port);
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	epoll_fd = epoll_create1(0);
	watch(EPOLL_CTL_ADD, door_fd, EPOLLIN, NULL);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 64, -1);

		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				serve(events[i].data.ptr);
			else
				accept_clients();
		}
	}
}
