/*
 * Right, but unusual: it sends the first half of each message at once, and the
 * other half some milliseconds later, when a timer in the same loop says so.
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
#include <sys/timerfd.h>
#include <unistd.h>

struct client {
	int fd;
	int late; /* its second half waits for the timer */
	size_t sent, half, length;
	char text[65536];
	struct client *next; /* of those who are late */
};

static int epoll_fd, server, timer;
static int full; /* out of descriptors: the server socket is not watched */
static struct client *late;

static void set(int op, int fd, unsigned events, void *ptr)
{
	struct epoll_event event = {.events = events, .data.ptr = ptr};

	epoll_ctl(epoll_fd, op, fd, &event);
}

static void greet(void)
{
	struct client *c;
	int fd = accept4(server, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0) {
		full = errno != EAGAIN && errno != EINTR;
		if (full)
			set(EPOLL_CTL_MOD, server, 0, &server);
		return;
	}
	if (!(c = calloc(1, sizeof(*c)))) {
		close(fd);
		return;
	}
	c->fd = fd;
	set(EPOLL_CTL_ADD, fd, EPOLLIN, c);
	printf("[INFO] Client connected to server\n");
}

/* Sends up to LIMIT, and goes on from there. */
static void push(struct client *c, size_t limit)
{
	struct itimerspec soon = {.it_value.tv_nsec = 2000000};
	ssize_t n;

	while (c->sent < limit) {
		n = send(c->fd, c->text + c->sent, limit - c->sent,
			 MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			set(EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
			return;
		}
		if (n < 0) {
			close(c->fd);
			free(c);
			return;
		}
		c->sent += (size_t)n;
	}
	if (limit == c->length) {
		set(EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
		return;
	}
	set(EPOLL_CTL_MOD, c->fd, 0, c); /* it is the timer's turn */
	if (!late)
		timerfd_settime(timer, 0, &soon, NULL);
	c->late = 1;
	c->next = late;
	late = c;
}

static void ring(void)
{
	struct client *c, *next = late;
	unsigned long long times;

	if (read(timer, &times, sizeof(times)) < 0)
		return;
	late = NULL;
	while ((c = next)) {
		next = c->next;
		c->late = 0;
		c->half = c->length;
		push(c, c->length);
	}
}

static void serve(struct client *c)
{
	ssize_t n;

	if (c->late)
		return;
	if (c->sent == c->length) {
		n = recv(c->fd, c->text, sizeof(c->text), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			close(c->fd);
			free(c);
			return;
		}
		c->sent = 0;
		c->length = (size_t)n;
		c->half = (c->length + 1) / 2;
	}
	push(c, c->half);
}

int main(int argc, char **argv)
{
	struct sockaddr_in where = {.sin_family = AF_INET};
	struct epoll_event events[64];
	struct rlimit files;
	char *end = "";
	long port = argc > 1 ? strtol(argv[1], &end, 10) : 8080;
	int yes = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (*end || port < 0 || port > 65535 || (argc > 1 && !*argv[1])) {
		fprintf(stderr, "[ERROR] bad port\n");
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	where.sin_port = htons((unsigned short)port);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(server, (struct sockaddr *)&where, sizeof(where)) < 0 ||
	    listen(server, 1024) < 0) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		return 1;
	}
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	epoll_fd = epoll_create1(0);
	set(EPOLL_CTL_ADD, server, EPOLLIN, &server);
	set(EPOLL_CTL_ADD, timer, EPOLLIN, &timer);
	printf("[INFO] Server listening on port %ld\n", port);

	for (;;) {
		int was_full = full;
		int n = epoll_wait(epoll_fd, events, 64, full ? 300 : -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &server)
				greet();
			else if (events[i].data.ptr != &timer)
				serve(events[i].data.ptr);
		}
		/* Last, for it may free clients that have an event here. */
		for (int i = 0; i < n; i++)
			if (events[i].data.ptr == &timer)
				ring();
		if (was_full) {
			full = 0;
			set(EPOLL_CTL_MOD, server, EPOLLIN, &server);
		}
	}
}
