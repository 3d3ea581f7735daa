/*
 * Mistake: It goes through its events twice, first for input and then for
 *   hang-ups. A descriptor closed in the first round can belong to somebody
 *   else in the second, who is then hung up on; the time that each message
 *   takes it makes this more likely.
 * Must fail: lifecycle/reset
 * May fail: lifecycle/clean_close, lifecycle/unread_answers,
 *   lifecycle/descriptors, lifecycle/memory, lifecycle/lifetime,
 *   concurrency/any_order, resources/few_descriptors
 * Says: the server closed the connection
 */
#define _GNU_SOURCE /* accept4 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAXFD 20000
#define CHUNK 60000

static struct slot {
	char used;
	unsigned short have, gone;
	char *chunk;
} slots[MAXFD];

static int epoll, door, door_shut;

static void interest(int fd, unsigned events)
{
	struct epoll_event ev = {events, {.fd = fd}};

	epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &ev);
}

static void hang_up(int fd)
{
	if (!slots[fd].used)
		return;
	slots[fd].used = 0;
	free(slots[fd].chunk);
	close(fd);
	puts("[INFO] Client disconnected");
}

static void newcomers(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int fd;

	while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		ev.data.fd = fd;
		if (fd >= MAXFD || !(slots[fd].chunk = malloc(CHUNK))) {
			close(fd);
			continue;
		}
		slots[fd].used = 1;
		slots[fd].have = slots[fd].gone = 0;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
		puts("[INFO] Client connected to server");
	}
	if (errno == EMFILE) {
		interest(door, 0);
		door_shut = 1;
	}
}

static void output(int fd)
{
	struct slot *s = &slots[fd];
	ssize_t n = write(fd, s->chunk + s->gone, s->have - s->gone);

	if (n < 0 && errno != EAGAIN)
		hang_up(fd);
	if (n < 0)
		return;
	s->gone += n;
	if (s->gone == s->have) {
		s->gone = s->have = 0;
		interest(fd, EPOLLIN);
	}
}

/* What it does with a message: that takes three milliseconds. */
static void work(void)
{
	clock_t end = clock() + 3 * CLOCKS_PER_SEC / 1000;

	while (clock() < end)
		;
}

static void input(int fd)
{
	struct slot *s = &slots[fd];
	ssize_t n = read(fd, s->chunk, CHUNK);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up(fd);
		return;
	}
	work();
	s->have = n;
	s->gone = 0;
	interest(fd, EPOLLOUT);
	output(fd);
}

static void refuse(const char *port, const char *why)
{
	fprintf(stderr, "[ERROR] port %s: %s\n", port, why);
	exit(1);
}

static void start(const char *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct epoll_event ev = {.events = EPOLLIN};
	int one = 1;

	for (const char *p = port; *p || p == port; p++)
		if (!isdigit((unsigned char)*p) || p - port > 4)
			refuse(port, "not a port");
	if (atoi(port) > 65535)
		refuse(port, "not a port");
	in.sin_port = htons(atoi(port));
	door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(door, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(door, 1000) < 0)
		refuse(port, strerror(errno));
	epoll = epoll_create1(0);
	ev.data.fd = door;
	epoll_ctl(epoll, EPOLL_CTL_ADD, door, &ev);
	printf("[INFO] Server listening on port %s\n", port);
}

int main(int argc, char **argv)
{
	struct epoll_event evs[256];
	struct rlimit rl;

	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	start(argc > 1 ? argv[1] : "8080");

	for (;;) {
		int n = epoll_wait(epoll, evs, 256, door_shut ? 400 : -1);

		if (door_shut)
			interest(door, EPOLLIN);
		door_shut = 0;
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;

			if (fd == door)
				newcomers();
			else if (evs[i].events & EPOLLOUT)
				output(fd);
			else if (evs[i].events & EPOLLIN)
				input(fd);
		}
		for (int i = 0; i < n; i++)
			if (evs[i].events & (EPOLLHUP | EPOLLERR))
				hang_up(evs[i].data.fd);
	}
}
