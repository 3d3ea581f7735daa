/*
 * Right, but unusual: it executes itself again once it listens, accepts
 * whoever has sent something (TCP_DEFER_ACCEPT), and has its standard output
 * in the loop.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- start-up ---------------------------------------------------------- */

static int parse_port(const char *text)
{
	int port = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		port = port * 10 + (*text - '0');
		if (port > 65535)
			return -1;
	}
	return port;
}

static int fail(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur != limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* ---- log: one line for each client; never waits for its reader ---------- */

static const char log_line[] = "[INFO] Client connected to server\n";
static size_t log_bytes; /* of such lines, still to be written */

static void log_flush(void)
{
	const size_t len = sizeof(log_line) - 1;
	char text[4080];

	while (log_bytes > 0) {
		struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
		size_t at = (len - log_bytes % len) % len, n = 0;
		ssize_t r;

		if (poll(&out, 1, 0) <= 0) /* looks, does not wait */
			return;
		while (n < sizeof(text) && n < log_bytes) {
			text[n++] = log_line[at];
			at = (at + 1) % len;
		}
		r = write(STDOUT_FILENO, text, n);
		if (r < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				log_bytes = 0; /* nobody will ever read it */
			return;
		}
		log_bytes -= (size_t)r;
	}
}

static void log_client(void)
{
	log_bytes += sizeof(log_line) - 1;
}

/* ---- accept: a descriptor, NOBODY, or NO_ROOM --------------------------- */

enum { NOBODY = -1, NO_ROOM = -2 };

static inline int accept_client(int listen_fd, int flags)
{
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, flags | SOCK_CLOEXEC);

		if (fd >= 0)
			return fd;
		switch (errno) {
		case EINTR:
		case ECONNABORTED:
		case EPROTO:
			continue;
		case EAGAIN:
			return NOBODY;
		default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM and the like */
			return NO_ROOM;
		}
	}
}

static inline bool again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static int create_server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_ANY)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4096) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}
#include <malloc.h>
#include <setjmp.h>
#include <netinet/ip.h>

#define OWED_MAX (1024 * 1024)
#define AGAIN "TCP_SERVER_SECOND_START"

struct client {
	int fd;
	bool ended;
	bool full; /* nothing can be received until something is sent */
	uint32_t watched;
	char *bytes; /* what is owed: from..to, of size bytes */
	size_t from, to, size;
};

extern char **environ;

static jmp_buf end_of_client;
static int epoll_fd, listen_fd;
static bool paused, log_watched;
static char out_mark; /* its address is the owner of standard output */

static void watch(int op, int fd, uint32_t events, void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = owner};

	epoll_ctl(epoll_fd, op, fd, &event);
}

static void pause_listener(bool yes)
{
	if (paused != yes)
		watch(EPOLL_CTL_MOD, listen_fd, yes ? 0 : EPOLLIN, NULL);
	paused = yes;
}

/* Watches standard output if, and only if, it keeps lines waiting. */
static void watch_log(void)
{
	if (log_watched == (log_bytes > 0))
		return;
	log_watched = !log_watched;
	watch(log_watched ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, STDOUT_FILENO,
	      EPOLLOUT, &out_mark);
}

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* Sends what is owed, as far as it goes. */
static void pay(struct client *c)
{
	while (c->from < c->to) {
		ssize_t n = send(c->fd, c->bytes + c->from, c->to - c->from,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			longjmp(end_of_client, 1);
		c->from += (size_t)n;
		c->full = false;
	}
	free(c->bytes);
	c->bytes = NULL;
	c->from = c->to = c->size = 0;
}

/* Makes room behind what is owed, if that is allowed: how much is there? */
static size_t room_behind(struct client *c)
{
	size_t size = c->size ? c->size * 2 : 8192;
	char *larger;

	if (c->from > 0) {
		memmove(c->bytes, c->bytes + c->from, c->to - c->from);
		c->to -= c->from;
		c->from = 0;
	}
	if (c->to < c->size || c->size == OWED_MAX)
		return c->size - c->to;
	larger = realloc(c->bytes, size);
	if (larger == NULL) {
		if (c->size == 0)
			longjmp(end_of_client, 1);
		return 0;
	}
	c->bytes = larger;
	c->size = size;
	return c->size - c->to;
}

static void take(struct client *c)
{
	size_t room = room_behind(c);
	ssize_t n;

	c->full = room == 0;
	if (c->full)
		return;
	n = recv(c->fd, c->bytes + c->to, room, MSG_DONTWAIT);
	if (n < 0 && !again())
		longjmp(end_of_client, 1);
	if (n == 0)
		c->ended = true;
	if (n > 0)
		c->to += (size_t)n;
}

static void serve(struct client *c)
{
	uint32_t want = 0;

	if (!c->ended)
		take(c);
	pay(c);
	if (c->ended && c->bytes == NULL)
		longjmp(end_of_client, 1);
	if (!c->ended && !c->full && c->to - c->from < OWED_MAX)
		want |= EPOLLIN;
	if (c->bytes != NULL)
		want |= EPOLLOUT;
	if (want != c->watched)
		watch(EPOLL_CTL_MOD, c->fd, want, c);
	c->watched = want;
	set(c->fd, IPPROTO_TCP, TCP_QUICKACK, 1);
}

static void welcome(void)
{
	for (;;) {
		struct client *c = calloc(1, sizeof(*c));
		int fd = c ? accept_client(listen_fd, 0) : NO_ROOM;

		if (fd < 0) {
			free(c);
			if (fd == NO_ROOM)
				pause_listener(true);
			return;
		}
		log_client();
		set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 512 * 1024);
		set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		set(fd, SOL_SOCKET, SO_PRIORITY, 4);
		set(fd, IPPROTO_IP, IP_TOS, IPTOS_LOWDELAY);
		c->fd = fd;
		c->watched = EPOLLIN;
		watch(EPOLL_CTL_ADD, fd, EPOLLIN, c);
	}
}

static void one_event(void *owner)
{
	struct client *volatile c = owner;

	if (owner == NULL) {
		welcome();
	} else if (owner == &out_mark) {
		log_flush();
	} else if (setjmp(end_of_client) == 0) {
		serve(c);
	} else {
		close(c->fd);
		free(c->bytes);
		free(c);
		pause_listener(false);
	}
}

static void start_again(char *argv[])
{
	if (getenv(AGAIN) != NULL) {
		unsetenv(AGAIN);
		return;
	}
	if (setenv(AGAIN, "1", 1) == 0)
		execve("/proc/self/exe", argv, environ);
	unsetenv(AGAIN); /* then without */
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event events[64];

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	start_again(argv);
	mallopt(M_MMAP_THRESHOLD, 65536); /* so that free gives it back */
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	set(listen_fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
	set(listen_fd, IPPROTO_TCP, TCP_FASTOPEN, 64);
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return fail("epoll_create1");
	watch(EPOLL_CTL_ADD, listen_fd, EPOLLIN, NULL);
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int n;

		log_flush();
		watch_log();
		n = epoll_wait(epoll_fd, events, 64, paused ? 500 : -1);
		if (n < 0 && errno != EINTR)
			return fail("epoll_wait");
		if (n == 0)
			pause_listener(false);
		for (int i = 0; i < n; i++)
			one_event(events[i].data.ptr);
	}
}
