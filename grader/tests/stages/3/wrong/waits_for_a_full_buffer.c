/*
 * Mistake: It answers only when its buffer of 1024 bytes is full.
 * Must fail: echo/line
 * Says: it has read all that a client sent
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 1024

enum state { FILLING, EMPTYING, CLOSED };

/* What we are doing for a client, and how far we are with it. */
struct session {
	int sock;
	enum state state;
	int filled, emptied;
	int last; /* the client has sent its last byte */
	char message[MESSAGE];
};

static int epfd, server_sock;

static void fill(struct session *s)
{
	int n = read(s->sock, s->message + s->filled, MESSAGE - s->filled);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		s->state = CLOSED;
		return;
	}
	s->filled += n;
	s->last = n == 0;
	if (s->filled == MESSAGE || s->last)
		s->state = EMPTYING;
}

static void empty(struct session *s)
{
	int n = 0;

	if (s->emptied < s->filled)
		n = write(s->sock, s->message + s->emptied,
			  s->filled - s->emptied);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			s->state = CLOSED;
		return;
	}
	s->emptied += n;
	if (s->emptied < s->filled)
		return;
	s->filled = s->emptied = 0;
	s->state = s->last ? CLOSED : FILLING;
}

static void step(struct session *s)
{
	struct epoll_event ev;

	if (s->state == FILLING)
		fill(s);
	if (s->state == EMPTYING)
		empty(s);
	if (s->state == CLOSED) {
		close(s->sock);
		free(s);
		return;
	}
	ev.events = s->state == FILLING ? EPOLLIN : EPOLLOUT;
	ev.data.ptr = s;
	epoll_ctl(epfd, EPOLL_CTL_MOD, s->sock, &ev);
}

/* 0 when there is no descriptor left. */
static int new_session(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct session *s;
	int sock = accept(server_sock, NULL, NULL);

	if (sock < 0)
		return errno != EMFILE && errno != ENFILE;
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		close(sock);
		return 1;
	}
	fcntl(sock, F_SETFL, O_NONBLOCK);
	s->sock = sock;
	ev.data.ptr = s;
	epoll_ctl(epfd, EPOLL_CTL_ADD, sock, &ev);
	puts("[INFO] Client connected to server");
	return 1;
}

static int bind_and_listen(int port)
{
	struct sockaddr_in sa;
	int yes = 1;

	server_sock = socket(AF_INET, SOCK_STREAM, 0);
	if (server_sock < 0)
		return -1;
	fcntl(server_sock, F_SETFL, O_NONBLOCK);
	setsockopt(server_sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	memset(&sa, 0, sizeof(sa));
	sa.sin_family = AF_INET;
	sa.sin_port = htons(port);
	if (bind(server_sock, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	return listen(server_sock, 256);
}

int main(int argc, char *argv[])
{
	struct epoll_event events[50], door = {.events = EPOLLIN};
	struct rlimit files;
	int port = 8080, full = 0;
	char junk;

	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 &&
	    (strlen(argv[1]) > 5 || argv[1][0] == '-' ||
	     sscanf(argv[1], "%d%c", &port, &junk) != 1 || port > 65535)) {
		fprintf(stderr, "[ERROR] usage: %s [PORT]\n", argv[0]);
		return 1;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (bind_and_listen(port) < 0) {
		perror("[ERROR] cannot listen");
		return 1;
	}
	epfd = epoll_create1(0);
	door.data.ptr = NULL;
	epoll_ctl(epfd, EPOLL_CTL_ADD, server_sock, &door);
	printf("[INFO] Server listening on port %d\n", port);

	while (1) {
		int n = epoll_wait(epfd, events, 50, full ? 300 : -1);

		if (full) {
			epoll_ctl(epfd, EPOLL_CTL_ADD, server_sock, &door);
			full = 0;
		}
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				step(events[i].data.ptr);
			else if (!new_session())
				full = 1;
		}
		if (full)
			epoll_ctl(epfd, EPOLL_CTL_DEL, server_sock, NULL);
	}
}
