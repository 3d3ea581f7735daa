/*
 * Right, but unusual: SIGTERM and SIGINT end it with status 0, by way of a
 * handler that interrupts epoll_wait().
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING 65536

struct peer {
	int fd;
	bool eof;
	uint32_t mask;
	size_t in, out; /* counted from the start of the connection */
	char *ring;
	struct peer *next;
};

static struct peer *peers; /* everybody who is here */
static int loop_fd, door;
static volatile sig_atomic_t leaving;

static void on_signal(int number)
{
	(void)number;
	leaving = 1;
}

static void arm(int op, int fd, uint32_t mask, void *who)
{
	struct epoll_event e = {.events = mask};

	e.data.ptr = who;
	if (epoll_ctl(loop_fd, op, fd, &e) < 0)
		perror("[ERROR] epoll_ctl");
}

static bool welcome(void)
{
	int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct peer *p;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR ||
		       errno == ECONNABORTED;
	p = calloc(1, sizeof(*p));
	if (!p || !(p->ring = malloc(RING))) {
		free(p);
		close(fd);
		return true;
	}
	p->fd = fd;
	p->mask = EPOLLIN;
	p->next = peers;
	peers = p;
	arm(EPOLL_CTL_ADD, fd, EPOLLIN, p);
	printf("[INFO] Client connected to server\n");
	return true;
}

static void farewell(struct peer *p)
{
	struct peer **link = &peers;

	while (*link != p)
		link = &(*link)->next;
	*link = p->next;
	close(p->fd);
	free(p->ring);
	free(p);
}

/* One recv() as far as there is room. */
static bool take(struct peer *p)
{
	size_t at = p->in % RING, room = RING - (p->in - p->out);
	ssize_t n;

	if (room == 0 || p->eof)
		return true;
	n = recv(p->fd, p->ring + at, room < RING - at ? room : RING - at, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	p->eof = n == 0;
	p->in += (size_t)n;
	return true;
}

/* Up to two send()s: the ring may be wrapped. */
static bool give(struct peer *p)
{
	while (p->out < p->in) {
		size_t at = p->out % RING, have = p->in - p->out;
		ssize_t n =
			send(p->fd, p->ring + at,
			     have < RING - at ? have : RING - at, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->out += (size_t)n;
	}
	return true;
}

static void serve(struct peer *p)
{
	uint32_t mask = 0;

	if (!take(p) || !give(p) || (p->eof && p->in == p->out)) {
		farewell(p);
		return;
	}
	if (!p->eof && p->in - p->out < RING)
		mask |= EPOLLIN;
	if (p->in > p->out)
		mask |= EPOLLOUT;
	if (mask != p->mask)
		arm(EPOLL_CTL_MOD, p->fd, mask, p);
	p->mask = mask;
}

static int open_door(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int on = 1, port = 0;

	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' ||
		    (port = port * 10 + *c - '0') > 65535)
			port = -1;
		if (port < 0)
			break;
	}
	if (port < 0 || !*text) {
		fprintf(stderr, "[ERROR] '%s' is not a port\n", text);
		exit(1);
	}
	door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a.sin_port = htons((uint16_t)port);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(door, (void *)&a, sizeof(a)) || listen(door, 512)) {
		fprintf(stderr, "[ERROR] port %d: %m\n", port);
		exit(1);
	}
	return port;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct rlimit r;
	int port;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	port = open_door(argc > 1 ? argv[1] : "8080");
	loop_fd = epoll_create1(0);
	arm(EPOLL_CTL_ADD, door, EPOLLIN, NULL);
	printf("[INFO] Server listening on port %d\n", port);

	for (bool open = true; !leaving;) {
		struct epoll_event e[32];
		int n = epoll_wait(loop_fd, e, 32, open ? -1 : 500);

		if (n < 0 && errno != EINTR) {
			perror("[ERROR] epoll_wait");
			return 1;
		}
		if (!open)
			arm(EPOLL_CTL_MOD, door, EPOLLIN, NULL);
		open = true;
		for (int i = 0; i < n; i++) {
			if (e[i].data.ptr)
				serve(e[i].data.ptr);
			else if (!welcome())
				open = false;
		}
		if (!open) /* no descriptor left: look again in a while */
			arm(EPOLL_CTL_MOD, door, 0, NULL);
	}
	while (peers)
		farewell(peers);
	printf("[INFO] Server ended\n");
	return 0;
}
