/*
 * Right, but unusual: it says that it listens and that clients come, and not a
 * word besides, in write(): it does without stdio.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL 256 /* places that are allocated together */

struct place {
	struct place *next_free;
	int fd;
	char *from, *to;
	char buf[3000];
};

static struct place *free_places;
static int ep, door;

static void say(int where, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(where, text, left);

		if (n <= 0)
			return;
		text += n;
		left -= (size_t)n;
	}
}

static void fail(const char *what)
{
	say(2, "[ERROR] ");
	say(2, what);
	say(2, "\n");
	_exit(1);
}

static struct place *take_place(void)
{
	struct place *place;

	if (!free_places) {
		place = calloc(POOL, sizeof(*place));
		for (int i = 0; place && i < POOL; i++) {
			place[i].next_free = free_places;
			free_places = &place[i];
		}
	}
	place = free_places;
	if (place)
		free_places = place->next_free;
	return place;
}

static void give_back(struct place *place)
{
	close(place->fd);
	place->next_free = free_places;
	free_places = place;
}

/* The events of a client that is here, or of the door (place NULL). */
static void want(int op, int fd, uint32_t events, struct place *place)
{
	struct epoll_event event = {events, {.ptr = place}};

	epoll_ctl(ep, op, fd, &event);
}

static int let_in(void)
{
	int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
	struct place *place;

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? -1 : 0;
	place = take_place();
	if (!place) {
		close(fd);
		return 0;
	}
	place->fd = fd;
	place->from = place->to = place->buf;
	want(EPOLL_CTL_ADD, fd, EPOLLIN, place);
	say(1, "[INFO] Client connected to server\n");
	return 0;
}

static void serve(struct place *place)
{
	ssize_t n;

	if (place->from == place->to) {
		n = read(place->fd, place->buf, sizeof(place->buf));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			give_back(place);
			return;
		}
		place->from = place->buf;
		place->to = place->buf + n;
	}
	n = write(place->fd, place->from, (size_t)(place->to - place->from));
	if (n < 0 && errno != EAGAIN) {
		give_back(place);
		return;
	}
	if (n > 0)
		place->from += n;
	want(EPOLL_CTL_MOD, place->fd,
	     place->from == place->to ? EPOLLIN : EPOLLOUT, place);
}

static void open_door(const char *port)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	int yes = 1;
	size_t digits = strspn(port, "0123456789");

	if (digits == 0 || digits > 5 || port[digits] || atoi(port) > 65535)
		fail("not a port");
	here.sin_port = htons((uint16_t)atoi(port));
	door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(door, (struct sockaddr *)&here, sizeof(here)) ||
	    listen(door, 400))
		fail(strerror(errno));
	ep = epoll_create1(0);
	want(EPOLL_CTL_ADD, door, EPOLLIN, NULL);
	say(1, "[INFO] Server listening on port ");
	say(1, port);
	say(1, "\n");
}

int main(int argc, char *argv[])
{
	struct epoll_event events[20];
	struct rlimit limit;
	int full = 0;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	open_door(argc > 1 ? argv[1] : "8080");

	for (;;) {
		int n = epoll_wait(ep, events, 20, full ? 150 : -1);

		if (full)
			want(EPOLL_CTL_MOD, door, EPOLLIN, NULL);
		full = 0;
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(events[i].data.ptr);
			else
				full = let_in() < 0;
		}
		if (full)
			want(EPOLL_CTL_MOD, door, 0, NULL);
	}
}
