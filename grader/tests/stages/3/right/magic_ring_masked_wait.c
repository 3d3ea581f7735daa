/*
 * Right, but unusual: each client has a ring of shared memory that is mapped
 * twice, and signals come in during epoll_pwait() alone.
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

#define RING 65536

struct client {
	int fd;
	bool ended;
	uint32_t watched;
	size_t head, tail; /* sent up to, received up to; head <= tail */
	char *ring;        /* RING bytes, twice */
	struct client *next, *prev;
};

static struct client *clients;
static int epoll_fd, listen_fd;
static bool paused;
static volatile sig_atomic_t stop, asked;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		asked = 1;
	else if (number != SIGCONT)
		stop = 1;
}

static char *create_ring(void)
{
	char *at = mmap(NULL, 2 * RING, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	if (mmap(at, RING, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mremap(at, 0, RING, MREMAP_MAYMOVE | MREMAP_FIXED, at + RING) ==
		    MAP_FAILED) {
		munmap(at, 2 * RING);
		return NULL;
	}
	return at;
}

static struct client *create_client(void)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c != NULL && (c->ring = create_ring()) == NULL) {
		free(c);
		c = NULL;
	}
	return c;
}

static void destroy_client(struct client *c)
{
	munmap(c->ring, 2 * RING);
	free(c);
}

static void unlink_client(struct client *c)
{
	close(c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	destroy_client(c);
}

/* Receives once and sends once, if there is room and if there are bytes. */
static bool serve(struct client *c)
{
	struct epoll_event event = {.events = 0, .data.ptr = c};
	ssize_t n;

	if (!c->ended && c->tail - c->head < RING) {
		n = recv(c->fd, c->ring + c->tail % RING,
			 RING - (c->tail - c->head), 0);
		if (n > 0)
			c->tail += (size_t)n;
		else if (n == 0)
			c->ended = true;
		else if (!again())
			return false;
	}
	if (c->tail > c->head) {
		n = send(c->fd, c->ring + c->head % RING, c->tail - c->head,
			 MSG_NOSIGNAL);
		if (n > 0)
			c->head += (size_t)n;
		else if (n < 0 && !again())
			return false;
	}
	if (c->ended && c->head == c->tail)
		return false;
	if (!c->ended && c->tail - c->head < RING)
		event.events |= EPOLLIN;
	if (c->tail > c->head)
		event.events |= EPOLLOUT;
	if (event.events != c->watched) {
		if (epoll_ctl(epoll_fd,
			      c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd,
			      &event) < 0)
			return false;
		c->watched = event.events;
	}
	return true;
}

static void watch_listener(bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0,
				    .data.ptr = NULL};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, listen_fd, &event) == 0)
		paused = !on;
}

static void welcome(void)
{
	for (;;) {
		struct client *c = create_client();
		int fd = c ? accept_client(listen_fd, SOCK_NONBLOCK) : NO_ROOM;

		if (fd < 0) {
			if (c)
				destroy_client(c);
			if (fd == NO_ROOM)
				watch_listener(false);
			return;
		}
		log_client();
		c->fd = fd;
		c->next = clients;
		if (clients)
			clients->prev = c;
		clients = c;
		/* It may have spoken already; and this watches it. */
		if (!serve(c))
			unlink_client(c);
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct sigaction action = {.sa_handler = on_signal};
	struct epoll_event listener = {.events = EPOLLIN, .data.ptr = NULL};
	struct epoll_event events[128];
	sigset_t all, open;

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &open);
	sigdelset(&open, SIGTERM);
	sigdelset(&open, SIGINT);
	sigdelset(&open, SIGUSR1);
	sigdelset(&open, SIGCONT);
	sigfillset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGCONT, &action, NULL); /* so stop/continue is EINTR */

	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &listener) < 0)
		return fail("cannot start");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	while (!stop) {
		int n;

		log_flush();
		n = epoll_pwait(epoll_fd, events, 128,
				paused || log_bytes ? 500 : -1, &open);
		if (n < 0 && errno != EINTR)
			return fail("epoll_pwait");
		if (asked) {
			asked = 0;
			fprintf(stderr, "[DEBUG] still here\n");
		}
		if (n == 0 && paused)
			watch_listener(true);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c == NULL) {
				welcome();
			} else if (!serve(c)) {
				unlink_client(c);
				if (paused)
					watch_listener(true);
			}
		}
	}
	while (clients != NULL)
		unlink_client(clients);
	close(listen_fd);
	close(epoll_fd);
	return EXIT_SUCCESS;
}
