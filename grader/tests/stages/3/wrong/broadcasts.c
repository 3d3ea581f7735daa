/*
 * Mistake: It is a chat server: everybody gets what one client says.
 * Must fail: concurrency/idle_client, epoll/one_thread, epoll/listener,
 *   epoll/connections
 * Says: that it never sent
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* A piece that a client has still to be sent. */
struct piece {
	STAILQ_ENTRY(piece) next;
	size_t len, done;
	char text[];
};

struct user {
	LIST_ENTRY(user) others;
	STAILQ_HEAD(, piece) outbox;
	int fd;
};

static LIST_HEAD(, user) room = LIST_HEAD_INITIALIZER(room);
static int poller;

static void listen_to(struct user *u, int op)
{
	struct epoll_event ev;

	ev.events = STAILQ_EMPTY(&u->outbox) ? EPOLLIN : EPOLLOUT;
	ev.data.ptr = u;
	epoll_ctl(poller, op, u->fd, &ev);
}

static void leave(struct user *u)
{
	struct piece *p;

	while ((p = STAILQ_FIRST(&u->outbox))) {
		STAILQ_REMOVE_HEAD(&u->outbox, next);
		free(p);
	}
	LIST_REMOVE(u, others);
	close(u->fd);
	free(u);
}

static void tell(struct user *u, const char *text, size_t len)
{
	struct piece *p = malloc(sizeof(*p) + len);

	if (!p)
		return;
	p->len = len;
	p->done = 0;
	memcpy(p->text, text, len);
	STAILQ_INSERT_TAIL(&u->outbox, p, next);
	listen_to(u, EPOLL_CTL_MOD);
}

static void hear(struct user *u)
{
	char text[4096];
	ssize_t len = recv(u->fd, text, sizeof(text), 0);
	struct user *each;

	if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR)) {
		leave(u);
		return;
	}
	if (len > 0)
		LIST_FOREACH(each, &room, others)
	tell(each, text, (size_t)len);
}

static void speak(struct user *u)
{
	struct piece *p;

	while ((p = STAILQ_FIRST(&u->outbox))) {
		ssize_t n = send(u->fd, p->text + p->done, p->len - p->done, 0);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				leave(u);
			return;
		}
		p->done += (size_t)n;
		if (p->done < p->len)
			continue;
		STAILQ_REMOVE_HEAD(&u->outbox, next);
		free(p);
	}
	listen_to(u, EPOLL_CTL_MOD);
}

static void enter(int door)
{
	int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
	struct user *u;

	if (fd < 0)
		return;
	u = malloc(sizeof(*u));
	if (!u) {
		close(fd);
		return;
	}
	u->fd = fd;
	STAILQ_INIT(&u->outbox);
	LIST_INSERT_HEAD(&room, u, others);
	listen_to(u, EPOLL_CTL_ADD);
	printf("[INFO] Client connected to server\n");
}

static int open_door(unsigned int port)
{
	struct sockaddr_in sin = {0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	sin.sin_family = AF_INET;
	sin.sin_port = htons((unsigned short)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 128) == -1) {
		perror("[ERROR] open_door");
		exit(1);
	}
	return fd;
}

int main(int argc, char *argv[])
{
	char *rest = "";
	unsigned long port = argc > 1 ? strtoul(argv[1], &rest, 10) : 8080;
	struct epoll_event ev = {.events = EPOLLIN};
	struct rlimit lim;
	int door;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (*rest || port > 65535 || (argc > 1 && !argv[1][0])) {
		fprintf(stderr, "[ERROR] '%s' is no port\n", argv[1]);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	door = open_door((unsigned int)port);
	poller = epoll_create1(0);
	epoll_ctl(poller, EPOLL_CTL_ADD, door, &ev);
	printf("[INFO] Server listening on port %lu\n", port);

	for (;;) {
		int n = epoll_wait(poller, &ev, 1, -1);

		if (n < 1)
			continue;
		if (!ev.data.ptr)
			enter(door);
		else if (ev.events & EPOLLOUT)
			speak(ev.data.ptr);
		else
			hear(ev.data.ptr);
	}
}
