/*
 * Right, but unusual: clients are in a table by their descriptor, each with a
 * buffer of 64 KiB that it moves to the front before it receives.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TABLE 32768
#define OUT (64 * 1024)

struct conn {
	int used, eof, want_out;
	uint32_t events;
	size_t off, len, cap;
	char *out;
	time_t last;
};
static struct conn table[TABLE];
static int ep, lfd, paused;

struct node {
	int fd;
	struct node *next;
};
static struct node *everybody;

static void arm_listener(int on)
{
	struct epoll_event ev = {.events = on ? EPOLLIN : 0, .data.fd = lfd};
	epoll_ctl(ep, EPOLL_CTL_MOD, lfd, &ev);
	paused = !on;
}

static void drop(int fd, int clean)
{
	struct conn *c = &table[fd];

	free(c->out);
	c->out = NULL;
	c->used = 0;
	close(fd);
	printf("[INFO] Client disconnected\n");
	(void)clean;

	if (paused)

		arm_listener(1);
}

static void watch(int fd)
{
	struct conn *c = &table[fd];
	struct epoll_event ev = {.events = 0, .data.fd = fd};
	if (!c->eof && c->len - c->off < OUT)
		ev.events |= EPOLLIN;
	if (c->len > c->off)
		ev.events |= EPOLLOUT;

	if (ev.events == c->events)
		return;
	c->events = ev.events;
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
}

static int flush(int fd)
{
	struct conn *c = &table[fd];
	while (c->off < c->len) {
		ssize_t n = send(fd, c->out + c->off, c->len - c->off,
				 MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {

			return 0;
		}
		if (n < 0)
			return -1;
		c->off += n;
	}
	c->off = c->len = 0;
	return 0;
}

static int handle(int fd, uint32_t events)
{
	struct conn *c = &table[fd];
	if (c->off < c->len && flush(fd) < 0)
		return -1;
	if (!c->eof && c->len - c->off < OUT && (events & ~EPOLLOUT)) {
		ssize_t n;

		if (c->off) {
			memmove(c->out, c->out + c->off, c->len - c->off);
			c->len -= c->off;
			c->off = 0;
		}
		size_t room = OUT - c->len;

		n = recv(fd, c->out + c->len, room, 0);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		if (n == 0)
			c->eof = 1;

		c->len += n;
		c->last = time(NULL);
		if (flush(fd) < 0)
			return -1;
	}

	if (c->eof && c->off == c->len)
		return -2;
	watch(fd);
	return 0;
}

static void accept_all(void)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	int fd;
	static int newest = -1;
	(void)newest;
	while ((fd = accept4(lfd, (struct sockaddr *)&peer, &size,
			     SOCK_NONBLOCK)) >= 0) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
		struct conn *c = &table[fd];

		newest = fd;

		memset(c, 0, sizeof(*c));

		c->used = 1;
		c->last = time(NULL);
		c->out = malloc(OUT);
		c->cap = OUT;
		c->events = EPOLLIN;
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);

		printf("[INFO] Client connected to server\n");
		size = sizeof(peer);
	}
	if (errno == EMFILE || errno == ENFILE) {

		arm_listener(0);
	}
}

int main(int argc, char **argv)
{
	long port = 8080;
	char *end;
	int on = 1;
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct rlimit rl;
	struct epoll_event evs[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1) {
		errno = 0;
		port = strtol(argv[1], &end, 10);
		if (!isdigit((unsigned char)argv[1][0]) || *end || errno ||
		    port > 65535

		) {
			fprintf(stderr, "[ERROR] bad port\n");
			return 1;
		}
	}
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	any.sin_port = htons(port);

	if (setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||

	    bind(lfd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(lfd, 1024) < 0) {
		fprintf(stderr, "[ERROR] cannot listen: %s\n", strerror(errno));
		return 1;
	}
	ep = epoll_create1(0);
	evs[0] = (struct epoll_event){.events = EPOLLIN, .data.fd = lfd};
	epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &evs[0]);
	printf("[INFO] Server listening on port %ld\n", port);
	for (;;) {

		int n = epoll_wait(ep, evs, 128, -1);

		if (n < 0 && errno == EINTR)
			continue;
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd, r;
			if (fd == lfd) {
				accept_all();
				continue;
			}
			if (!table[fd].used)
				continue;
			if ((r = handle(fd, evs[i].events)) < 0)
				drop(fd, r == -2);
		}
	}
}
