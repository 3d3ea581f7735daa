/*
 * Right, but unusual: edge-triggered, with a queue of those who have work
 * left: each gets 4 KiB a round, and the loop does not wait as long as there
 * are any.
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
#include <sched.h>

#define QUANTUM 4096

struct client {
	struct client *next; /* in the run queue */
	int fd;
	bool queued, readable, writable;
	unsigned short from, to; /* what is owed */
	char bytes[QUANTUM];
};

static struct client *queue_first, **queue_end = &queue_first;
static int epoll_fd, listen_fd;
static bool paused;

static bool watch_listener(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE,
				    .data.ptr = &listen_fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) == 0;
}

static bool can_work(const struct client *c)
{
	return c->from < c->to ? c->writable : c->readable;
}

static void enqueue(struct client *c)
{
	if (c->queued || !can_work(c))
		return;
	c->queued = true;
	c->next = NULL;
	*queue_end = c;
	queue_end = &c->next;
}

/* One turn: false if the client is gone. */
static bool turn(struct client *c)
{
	ssize_t n;

	if (c->from == c->to) {
		n = recv(c->fd, c->bytes, sizeof(c->bytes), 0);
		if (n < 0) {
			if (errno == EAGAIN)
				c->readable = false;
			return again();
		}
		if (n == 0)
			return false;
		c->from = 0;
		c->to = (unsigned short)n;
		if (!c->writable)
			return true;
	}
	n = send(c->fd, c->bytes + c->from, (size_t)(c->to - c->from),
		 MSG_NOSIGNAL);
	if (n < 0) {
		if (errno == EAGAIN)
			c->writable = false;
		return again();
	}
	c->from = (unsigned short)(c->from + n);
	return true;
}

/* Everybody who is in the queue now has one turn. */
static void run_queue(void)
{
	struct client *c = queue_first, *next;

	queue_first = NULL;
	queue_end = &queue_first;
	for (; c != NULL; c = next) {
		next = c->next;
		c->queued = false;
		if (turn(c)) {
			enqueue(c);
			continue;
		}
		close(c->fd);
		free(c);
		if (paused)
			paused = !watch_listener();
	}
}

static void welcome_one(void)
{
	struct client *c = calloc(1, sizeof(*c));
	int fd = c ? accept_client(listen_fd, SOCK_NONBLOCK) : NO_ROOM;
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = c};
	int one = 1;

	if (fd < 0) {
		free(c);
		if (fd == NO_ROOM) {
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listen_fd, NULL);
			paused = true;
		}
		return;
	}
	log_client();
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	c->fd = fd;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		close(fd);
		free(c);
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct sched_param parameters = {.sched_priority = 0};
	struct epoll_event events[3];

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	setpriority(PRIO_PROCESS, 0, 5);
	sched_setscheduler(0, SCHED_BATCH, &parameters);
	raise_descriptor_limit();
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 || !watch_listener())
		return fail("cannot start");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int n, timeout = paused || log_bytes ? 500 : -1;

		log_flush();
		if (queue_first != NULL)
			timeout = 0;
		n = epoll_wait(epoll_fd, events, 3, timeout);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return fail("epoll_wait");
		}
		if (n == 0 && paused && timeout > 0)
			paused = !watch_listener();
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			uint32_t bits = events[i].events;

			if (events[i].data.ptr == &listen_fd) {
				welcome_one();
				continue;
			}
			if (bits & ~(uint32_t)EPOLLOUT)
				c->readable = true;
			if (bits & (EPOLLOUT | EPOLLERR | EPOLLHUP))
				c->writable = true;
			enqueue(c);
		}
		run_queue();
	}
}
