/*
 * Right, but unusual: splice() carries the bytes through a pipe; who does not
 * read keeps one, two descriptors more.
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

#define PIPE_BYTES 65536

struct client {
	int fd;
	int pipe[2];   /* -1 if it has none */
	size_t owed;   /* in the pipe, or in memory from memory_at on */
	char *memory;
	size_t memory_at;
	struct client *next, *prev;
};

static struct client *clients;
static int epoll_fd, listen_fd;
static int shared[2]; /* empty between two calls */
static bool paused;

static void watch_client(struct client *c, int op, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	epoll_ctl(epoll_fd, op, c->fd, &event);
}

static void watch_listener(bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0,
				    .data.ptr = NULL};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, listen_fd, &event) == 0)
		paused = !on;
}

static void give_up_pipe(struct client *c)
{
	if (c->pipe[0] < 0)
		return;
	close(c->pipe[0]);
	close(c->pipe[1]);
	c->pipe[0] = c->pipe[1] = -1;
	if (paused)
		watch_listener(true);
}

static void goodbye(struct client *c)
{
	give_up_pipe(c);
	close(c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c->memory);
	free(c);
	if (paused)
		watch_listener(true);
}

/* Takes COUNT bytes, which are there, out of a pipe. */
static bool empty_pipe(int from, char *to, size_t count)
{
	while (count > 0) {
		ssize_t n = read(from, to, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		count -= (size_t)n;
	}
	return true;
}

static bool to_memory(struct client *c, int from)
{
	char *memory = malloc(c->owed);

	if (memory == NULL)
		return false;
	if (!empty_pipe(from, memory, c->owed)) {
		free(memory);
		return false;
	}
	c->memory = memory;
	c->memory_at = 0;
	return true;
}

/* Descriptors are scarce: is there one more now? */
static bool recall_pipes(void)
{
	bool any = false;

	for (struct client *c = clients; c != NULL; c = c->next) {
		if (c->pipe[0] >= 0 && to_memory(c, c->pipe[0])) {
			give_up_pipe(c);
			any = true;
		}
	}
	return any;
}

/* Sends what is owed, as far as it goes; false if the client is gone. */
static bool pay(struct client *c, int from)
{
	while (c->owed > 0) {
		ssize_t n;

		if (c->memory != NULL)
			n = send(c->fd, c->memory + c->memory_at, c->owed,
				 MSG_NOSIGNAL);
		else
			n = splice(from, NULL, c->fd, NULL, c->owed,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		c->owed -= (size_t)n;
		c->memory_at += (size_t)n;
	}
	return true;
}

static void serve(struct client *c)
{
	int fresh[2];
	ssize_t n;

	if (c->owed > 0) {
		if (!pay(c, c->pipe[0])) {
			goodbye(c);
		} else if (c->owed == 0) {
			free(c->memory);
			c->memory = NULL;
			give_up_pipe(c);
			watch_client(c, EPOLL_CTL_MOD, EPOLLIN);
		}
		return;
	}

	n = splice(c->fd, NULL, shared[1], NULL, PIPE_BYTES,
		   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n <= 0) {
		if (n == 0 || !again())
			goodbye(c);
		return;
	}
	c->owed = (size_t)n;
	if (!pay(c, shared[0])) {
		static char nowhere[PIPE_BYTES];

		empty_pipe(shared[0], nowhere, c->owed);
		goodbye(c);
	} else if (c->owed > 0) {
		if (pipe2(fresh, O_NONBLOCK | O_CLOEXEC) == 0) {
			memcpy(c->pipe, shared, sizeof(shared));
			memcpy(shared, fresh, sizeof(shared));
		} else if (!to_memory(c, shared[0])) {
			static char nowhere[PIPE_BYTES];

			empty_pipe(shared[0], nowhere, c->owed);
			goodbye(c);
			return;
		}
		watch_client(c, EPOLL_CTL_MOD, EPOLLOUT);
	}
}

static void welcome(void)
{
	for (;;) {
		struct client *c = calloc(1, sizeof(*c));
		int fd = c ? accept_client(listen_fd, SOCK_NONBLOCK) : NO_ROOM;

		if (fd < 0) {
			free(c);
			if (fd == NO_ROOM) {
				if (c != NULL && recall_pipes())
					continue;
				watch_listener(false);
			}
			return;
		}
		log_client();
		c->fd = fd;
		c->pipe[0] = c->pipe[1] = -1;
		c->next = clients;
		if (clients)
			clients->prev = c;
		clients = c;
		watch_client(c, EPOLL_CTL_ADD, EPOLLIN);
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event events[32];
	struct epoll_event listener = {.events = EPOLLIN, .data.ptr = NULL};

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    pipe2(shared, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &listener) < 0)
		return fail("cannot start");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int n;

		log_flush();
		n = epoll_wait(epoll_fd, events, 32,
			       paused || log_bytes ? 500 : -1);
		if (n < 0 && errno != EINTR)
			return fail("epoll_wait");
		if (n == 0 && paused)
			watch_listener(true);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				welcome();
			else
				serve(events[i].data.ptr);
		}
	}
}
