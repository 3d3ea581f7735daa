/*
 * Right, but unusual: all memory is one slab that is touched at the start,
 * before any client has come; TCP_CORK is put on and taken off.
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

#define BLOCKS 2048
#define RING 16384

struct slab;

struct client {
	struct slab *home;
	struct client *next_free;
	int fd;
	bool ended;
	uint32_t watched;
	uint32_t head, owed;
	_Alignas(4096) char ring[RING];
};

struct slab {
	struct slab *next;
	struct client *free;
	unsigned used;
	_Alignas(4096) struct client blocks[BLOCKS];
};

static struct slab *slabs; /* the first one stays for ever, at the end */
static int epoll_fd, listen_fd;
static bool paused;

static bool add_slab(int populate)
{
	struct slab *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | populate, -1, 0);

	if (s == MAP_FAILED)
		return false;
	if (populate == 0)
		madvise(s, sizeof(*s), MADV_NOHUGEPAGE);
	s->free = NULL;
	for (int i = BLOCKS - 1; i >= 0; i--) {
		s->blocks[i].home = s;
		s->blocks[i].next_free = s->free;
		s->free = &s->blocks[i];
	}
	s->used = 0;
	s->next = slabs;
	slabs = s;
	return true;
}

static struct client *take_block(void)
{
	struct slab *s;
	struct client *c;

	for (s = slabs; s != NULL && s->free == NULL; s = s->next)
		;
	if (s == NULL) {
		if (!add_slab(0))
			return NULL;
		s = slabs;
	}
	c = s->free;
	s->free = c->next_free;
	s->used++;
	return c;
}

static void give_block(struct client *c)
{
	struct slab *s = c->home;

	c->next_free = s->free;
	s->free = c;
	if (--s->used > 0 || s->next == NULL)
		return;
	for (struct slab **at = &slabs; *at != NULL; at = &(*at)->next) {
		if (*at == s) {
			*at = s->next;
			munmap(s, sizeof(*s));
			return;
		}
	}
}

static void cork(int fd, int on)
{
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* The COUNT bytes of the ring from AT on, as one or two pieces. */
static int pieces(struct client *c, uint32_t at, uint32_t count,
		  struct iovec piece[2])
{
	uint32_t first = RING - at % RING;

	if (first > count)
		first = count;
	piece[0].iov_base = c->ring + at % RING;
	piece[0].iov_len = first;
	piece[1].iov_base = c->ring;
	piece[1].iov_len = count - first;
	return count > first ? 2 : 1;
}

static bool work(struct client *c)
{
	struct iovec piece[2];

	for (int round = 0; round < 4; round++) {
		bool moved = false;
		ssize_t n;

		if (!c->ended && c->owed < RING) {
			int count = pieces(c, c->head + c->owed, RING - c->owed,
					   piece);

			n = readv(c->fd, piece, count);
			if (n < 0 && !again())
				return false;
			if (n == 0)
				c->ended = true;
			if (n > 0) {
				c->owed += (uint32_t)n;
				moved = true;
			}
		}
		if (c->owed > 0) {
			int count = pieces(c, c->head, c->owed, piece);

			n = writev(c->fd, piece, count); /* SIGPIPE ignored */
			if (n < 0 && !again())
				return false;
			if (n > 0) {
				c->head = (c->head + (uint32_t)n) % RING;
				c->owed -= (uint32_t)n;
				moved = true;
			}
		}
		if (!moved)
			break;
	}
	return !c->ended || c->owed > 0;
}

static bool serve(struct client *c)
{
	struct epoll_event event = {.events = 0, .data.ptr = c};
	bool stays;

	cork(c->fd, 1);
	stays = work(c);
	cork(c->fd, 0);
	if (!stays)
		return false;
	if (!c->ended && c->owed < RING)
		event.events |= EPOLLIN;
	if (c->owed > 0)
		event.events |= EPOLLOUT;
	if (event.events != c->watched) {
		if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
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

static void goodbye(struct client *c)
{
	close(c->fd);
	give_block(c);
	if (paused)
		watch_listener(true);
}

static void welcome(void)
{
	for (;;) {
		struct client *c = take_block();
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
		int fd = c ? accept_client(listen_fd, SOCK_NONBLOCK) : NO_ROOM;
		int few = 65536;

		if (fd < 0) {
			if (c)
				give_block(c);
			if (fd == NO_ROOM)
				watch_listener(false);
			return;
		}
		log_client();
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &few,
			   sizeof(few));
		c->fd = fd;
		c->ended = false;
		c->head = c->owed = 0;
		c->watched = EPOLLIN;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			goodbye(c);
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event listener = {.events = EPOLLIN, .data.ptr = NULL};
	struct epoll_event events[64];

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	if (!add_slab(MAP_POPULATE))
		return fail("no memory");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &listener) < 0)
		return fail("cannot start");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int n;

		log_flush();
		n = epoll_wait(epoll_fd, events, 64,
			       paused || log_bytes ? 500 : -1);
		if (n < 0 && errno != EINTR)
			return fail("epoll_wait");
		if (n == 0 && paused)
			watch_listener(true);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				welcome();
			else if (!serve(events[i].data.ptr))
				goodbye(events[i].data.ptr);
		}
	}
}
