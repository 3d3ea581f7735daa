/*
 * Right, but unusual: it listens on IPv6's wildcard address, which takes
 * IPv4's clients, too, and queues up to 12 MiB for one client.
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
#include <limits.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <time.h>

#define CHUNK_BYTES (256 * 1024)
#define OWED_MAX (12 * 1024 * 1024)

struct chunk {
	struct chunk *next;
	size_t from, to;
	char bytes[CHUNK_BYTES - 64];
};

struct client {
	int fd;
	bool ended; /* it has sent its last byte */
	uint32_t watched;
	size_t owed;
	struct chunk *first, *last;
};

static char arrival[64 * 1024]; /* holds nothing between two calls */

/* Tries one address: a listening socket, or -1. */
static int listen_on(const struct addrinfo *where)
{
	int zero = 0, one = 1, saved;
	int fd = socket(where->ai_family,
			where->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
			where->ai_protocol);

	if (fd < 0)
		return -1;
	if (where->ai_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) < 0)
		goto failed;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, where->ai_addr, where->ai_addrlen) == 0 &&
	    listen(fd, INT_MAX) == 0) /* as long as the kernel allows */
		return fd;
failed:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int create_server(int port)
{
	static const int families[] = {AF_INET6, AF_INET};
	char service[8];
	int fd = -1;

	snprintf(service, sizeof(service), "%d", port);
	errno = EADDRNOTAVAIL;
	for (int i = 0; i < 2 && fd < 0; i++) {
		struct addrinfo *list;
		struct addrinfo hints = {
			.ai_family = families[i],
			.ai_socktype = SOCK_STREAM,
			.ai_flags = AI_PASSIVE | AI_NUMERICSERV};

		if (getaddrinfo(NULL, service, &hints, &list) != 0)
			continue;
		fd = listen_on(list);
		freeaddrinfo(list);
		if (fd < 0 && (errno == EADDRINUSE || errno == EACCES))
			break; /* taken is taken */
	}
	return fd;
}

static void introduce(int port)
{
	char host[256] = "?", when[64] = "?";
	time_t now = time(NULL);
	struct tm *local = localtime(&now);
	struct passwd *user = getpwuid(getuid());
	struct servent *service = getservbyport(htons((uint16_t)port), "tcp");

	setlocale(LC_ALL, "");
	gethostname(host, sizeof(host) - 1);
	if (local != NULL)
		strftime(when, sizeof(when), "%F %T %Z", local);
	printf("[INFO] Started by %s on %s, %s\n", user ? user->pw_name : "?",
	       host, when);
	fprintf(stderr, "[DEBUG] port %d is known as %s\n", port,
		service ? service->s_name : "nothing");
}

/* Keeps COUNT bytes for later. */
static bool owe(struct client *c, const char *bytes, size_t count)
{
	while (count > 0) {
		size_t room, part;

		if (c->last == NULL || c->last->to == sizeof(c->last->bytes)) {
			struct chunk *fresh =
				mmap(NULL, sizeof(*fresh),
				     PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (fresh == MAP_FAILED)
				return false;
			if (c->last != NULL)
				c->last->next = fresh;
			else
				c->first = fresh;
			c->last = fresh;
		}
		room = sizeof(c->last->bytes) - c->last->to;
		part = count < room ? count : room;
		memcpy(c->last->bytes + c->last->to, bytes, part);
		c->last->to += part;
		c->owed += part;
		bytes += part;
		count -= part;
	}
	return true;
}

static void drop_first(struct client *c)
{
	struct chunk *first = c->first;

	c->first = first->next;
	if (c->first == NULL)
		c->last = NULL;
	munmap(first, sizeof(*first));
}

/* Sends of what is owed as much as fits: false if the client is gone. */
static bool pay(struct client *c)
{
	while (c->owed > 0) {
		struct chunk *k = c->first;
		ssize_t n = send(c->fd, k->bytes + k->from, k->to - k->from,
				 MSG_NOSIGNAL);

		if (n < 0)
			return again();
		k->from += (size_t)n;
		c->owed -= (size_t)n;
		if (k->from == k->to)
			drop_first(c);
	}
	return true;
}

static bool take(struct client *c)
{
	ssize_t sent = 0, n = recv(c->fd, arrival, sizeof(arrival), 0);

	if (n < 0)
		return again();
	if (n == 0) {
		c->ended = true;
		return true;
	}
	if (c->owed == 0) {
		sent = send(c->fd, arrival, (size_t)n, MSG_NOSIGNAL);
		if (sent < 0) {
			if (!again())
				return false;
			sent = 0;
		}
	}
	return owe(c, arrival + sent, (size_t)(n - sent));
}

/* False if it is time to part. */
static bool serve(int epoll_fd, struct client *c, uint32_t happened)
{
	struct epoll_event event = {.events = 0, .data.ptr = c};

	if (c->owed > 0 && (happened & (EPOLLOUT | EPOLLERR | EPOLLHUP)) &&
	    !pay(c))
		return false;
	if (!c->ended && (happened & (EPOLLIN | EPOLLERR | EPOLLHUP)) &&
	    c->owed < OWED_MAX && !take(c))
		return false;
	if (c->ended && c->owed == 0)
		return false;
	if (c->owed > 0)
		event.events |= EPOLLOUT;
	if (!c->ended && c->owed < OWED_MAX)
		event.events |= EPOLLIN;
	if (event.events != c->watched) {
		if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
			return false;
		c->watched = event.events;
	}
	return true;
}

static bool welcome(int epoll_fd, int listen_fd)
{
	for (;;) {
		struct client *c = calloc(1, sizeof(*c));
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
		int fd;

		if (c == NULL)
			return false;
		fd = accept_client(listen_fd, SOCK_NONBLOCK);
		if (fd < 0) {
			free(c);
			return fd == NOBODY;
		}
		log_client();
		c->fd = fd;
		c->watched = EPOLLIN;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
			close(fd);
			free(c);
		}
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event events[64];
	struct epoll_event listener = {.events = EPOLLIN, .data.ptr = NULL};
	bool paused = false;
	int listen_fd, epoll_fd;

	signal(SIGPIPE, SIG_IGN);
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
	introduce(port);
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
			struct client *c = events[i].data.ptr;

			if (c == NULL) {
				if (!welcome(epoll_fd, listen_fd)) {
					epoll_ctl(epoll_fd, EPOLL_CTL_DEL,
						  listen_fd, NULL);
					paused = true;
				}
			} else if (!serve(epoll_fd, c, events[i].events)) {
				close(c->fd);
				while (c->first != NULL)
					drop_first(c);
				free(c);
				left = true;
			}
		}
		if (paused && (left || n == 0))
			paused = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd,
					   &listener) < 0;
	}
}
