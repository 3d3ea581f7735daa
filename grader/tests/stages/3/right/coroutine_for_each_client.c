/*
 * Right, but unusual: each client has a coroutine with a stack of its own
 * (ucontext(3)), and its process has a name that is meant to be misread in
 * /proc.
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
#include <sys/prctl.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define LEAVE(save, to, size) __sanitizer_start_switch_fiber(save, to, size)
#define ARRIVE(saved, from, size) \
	__sanitizer_finish_switch_fiber(saved, from, size)
#else
#define LEAVE(save, to, size) ((void)0)
#define ARRIVE(saved, from, size) ((void)0)
#endif

#define STACK_BYTES (1 << 20)
#define GUARD_BYTES 4096

struct coroutine {
	ucontext_t context;
	char *stack;
	void *fake; /* the sanitizer's */
	int fd;
	uint32_t watched;
	bool over;
};

static ucontext_t loop_context;
#ifdef __SANITIZE_ADDRESS__
static const void *loop_stack;
static size_t loop_stack_bytes;
#endif
static struct coroutine *current;
static int epoll_fd;

/* In a coroutine: back to the loop, until one of EVENTS has happened. */
static void wait_for(struct coroutine *self, uint32_t events)
{
	if (events != self->watched) {
		struct epoll_event event = {.events = events,
					    .data.ptr = self};

		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, self->fd, &event);
		self->watched = events;
	}
	LEAVE(&self->fake, loop_stack, loop_stack_bytes);
	swapcontext(&self->context, &loop_context);
	ARRIVE(self->fake, &loop_stack, &loop_stack_bytes);
}

/* The whole life of a client, as if there were no other. */
static __attribute__((noinline)) void echo_client(struct coroutine *self)
{
	char buffer[16384];

	for (;;) {
		ssize_t n, done = 0;

		wait_for(self, EPOLLIN);
		n = recv(self->fd, buffer, sizeof(buffer), 0);
		if (n < 0 && again())
			continue;
		if (n <= 0)
			return;
		while (done < n) {
			ssize_t sent = send(self->fd, buffer + done,
					    (size_t)(n - done), MSG_NOSIGNAL);

			if (sent >= 0)
				done += sent;
			else if (errno == EAGAIN)
				wait_for(self, EPOLLOUT);
			else if (errno != EINTR)
				return;
		}
	}
}

static void coroutine_main(void)
{
	ARRIVE(NULL, &loop_stack, &loop_stack_bytes);
	echo_client(current);
	current->over = true;
	LEAVE(NULL, loop_stack, loop_stack_bytes);
	setcontext(&loop_context);
}

/* In the loop: lets it run until it waits, or is over. */
static void resume(struct coroutine *c)
{
	void *fake = NULL;

	(void)fake;
	current = c;
	LEAVE(&fake, c->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
	swapcontext(&loop_context, &c->context);
	ARRIVE(fake, NULL, NULL);
	current = NULL;
}

/* getcontext is one of those that return twice: apart from the rest. */
static __attribute__((noinline)) void prepare_context(struct coroutine *c)
{
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack + GUARD_BYTES;
	c->context.uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
	c->context.uc_link = NULL;
	makecontext(&c->context, coroutine_main, 0);
}

static struct coroutine *create_coroutine(void)
{
	struct coroutine *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->fd = -1;
	c->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->stack == MAP_FAILED) {
		free(c);
		return NULL;
	}
	mprotect(c->stack, GUARD_BYTES, PROT_NONE);
	madvise(c->stack, STACK_BYTES, MADV_NOHUGEPAGE);
	prepare_context(c);
	return c;
}

static void destroy_coroutine(struct coroutine *c)
{
	if (c->fd >= 0)
		close(c->fd);
	munmap(c->stack, STACK_BYTES);
	free(c);
}

/* Accepts everybody who is there: false if there was no room for somebody. */
static bool welcome(int listen_fd)
{
	for (;;) {
		struct epoll_event event = {.events = EPOLLIN};
		struct coroutine *c = create_coroutine();
		int fd;

		if (c == NULL)
			return false;
		fd = accept_client(listen_fd, SOCK_NONBLOCK);
		if (fd < 0) {
			destroy_coroutine(c);
			return fd == NOBODY;
		}
		log_client();
		c->fd = fd;
		c->watched = EPOLLIN;
		event.data.ptr = c;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			destroy_coroutine(c);
		else
			resume(c); /* up to its first wait_for */
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event events[64];
	struct epoll_event listener = {.events = EPOLLIN, .data.ptr = NULL};
	bool paused = false;
	int listen_fd;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "echo) R 1 (co");
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &listener) < 0)
		return fail("cannot start");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		bool left = false;
		int n;

		log_flush();
		n = epoll_wait(epoll_fd, events, 64,
			       paused || log_bytes ? 500 : -1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return fail("epoll_wait");
		}
		for (int i = 0; i < n; i++) {
			struct coroutine *c = events[i].data.ptr;

			if (c == NULL) {
				if (welcome(listen_fd))
					continue;
				/* Out of the interest list altogether. */
				epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listen_fd,
					  NULL);
				paused = true;
				continue;
			}
			resume(c);
			if (c->over) {
				destroy_coroutine(c);
				left = true;
			}
		}
		if (paused && (left || n == 0))
			paused = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd,
					   &listener) < 0;
	}
}
