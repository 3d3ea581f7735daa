/*
 * Right, but unusual: EPOLLET and EPOLLONESHOT on everything, the listener
 * too, and connections are moved to high descriptors.
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

#define PART 16384
#define ROUNDS 8 /* receives before others have their turn */
#define LISTENER UINT64_MAX
#define NONE UINT32_MAX

struct slot {
	uint32_t generation; /* odd: somebody lives here */
	uint32_t next_free;
	int fd;
	char *owed; /* PART bytes if something is owed, or NULL */
	size_t from, to;
};

static struct slot *table;
static uint32_t table_size, first_free = NONE;
static int epoll_fd, listen_fd, base;
static bool paused;

static int move_up(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, base);

	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static int arm(int op, int fd, uint32_t events, uint64_t who)
{
	struct epoll_event event = {.events = events | EPOLLET | EPOLLONESHOT,
				    .data.u64 = who};

	return epoll_ctl(epoll_fd, op, fd, &event);
}

static uint64_t name_of(uint32_t index)
{
	return (uint64_t)table[index].generation << 32 | index;
}

static bool make_room(void)
{
	uint32_t size = table_size ? table_size * 2 : 4;
	struct slot *larger;

	if (first_free != NONE)
		return true;
	larger = realloc(table, size * sizeof(*table));
	if (larger == NULL)
		return false;
	table = larger;
	for (uint32_t i = size; i-- > table_size;) {
		table[i] = (struct slot){.next_free = first_free, .fd = -1};
		first_free = i;
	}
	table_size = size;
	return true;
}

static void goodbye(uint32_t index)
{
	struct slot *s = &table[index];

	close(s->fd);
	free(s->owed);
	s->owed = NULL;
	s->fd = -1;
	s->generation++;
	s->next_free = first_free;
	first_free = index;
	if (paused && arm(EPOLL_CTL_MOD, listen_fd, EPOLLIN, LISTENER) == 0)
		paused = false;
}

static void serve(uint32_t index)
{
	static char part[PART];
	struct slot *s = &table[index];

	for (int round = 0; round < ROUNDS; round++) {
		ssize_t n, sent;

		if (s->owed != NULL) {
			n = send(s->fd, s->owed + s->from, s->to - s->from,
				 MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN)
				break;
			if (n < 0 && errno != EINTR) {
				goodbye(index);
				return;
			}
			if (n > 0)
				s->from += (size_t)n;
			if (s->from == s->to) {
				free(s->owed);
				s->owed = NULL;
			}
			continue;
		}
		n = recv(s->fd, part, sizeof(part), 0);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) { /* nothing is owed here */
			goodbye(index);
			return;
		}
		sent = send(s->fd, part, (size_t)n, MSG_NOSIGNAL);
		if (sent < 0 && !again()) {
			goodbye(index);
			return;
		}
		if (sent < 0)
			sent = 0;
		if (sent < n) {
			s->owed = malloc(PART);
			if (s->owed == NULL) {
				goodbye(index);
				return;
			}
			memcpy(s->owed, part + sent, (size_t)(n - sent));
			s->from = 0;
			s->to = (size_t)(n - sent);
		}
	}
	arm(EPOLL_CTL_MOD, s->fd, s->owed ? EPOLLOUT : EPOLLIN, name_of(index));
}

static void welcome(void)
{
	for (;;) {
		uint32_t index;
		int fd = make_room() ? accept_client(listen_fd, SOCK_NONBLOCK)
				     : NO_ROOM;

		if (fd == NO_ROOM) {
			paused = true; /* and it stays disarmed */
			return;
		}
		if (fd == NOBODY)
			break;
		log_client();
		fd = move_up(fd);
		index = first_free;
		first_free = table[index].next_free;
		table[index].generation++;
		table[index].fd = fd;
		arm(EPOLL_CTL_ADD, fd, EPOLLIN, name_of(index));
	}
	arm(EPOLL_CTL_MOD, listen_fd, EPOLLIN, LISTENER);
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	struct epoll_event events[16];
	struct rlimit limit;

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	base = 512;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		base = limit.rlim_cur > 10000 ? 5000 : (int)limit.rlim_cur / 2;
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return fail("epoll_create1");
	epoll_fd = move_up(epoll_fd);
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	listen_fd = move_up(listen_fd);
	if (arm(EPOLL_CTL_ADD, listen_fd, EPOLLIN, LISTENER) < 0)
		return fail("epoll_ctl");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int n;

		log_flush();
		n = epoll_wait(epoll_fd, events, 16,
			       paused || log_bytes ? 500 : -1);
		if (n < 0 && errno != EINTR)
			return fail("epoll_wait");
		if (n == 0 && paused &&
		    arm(EPOLL_CTL_MOD, listen_fd, EPOLLIN, LISTENER) == 0)
			paused = false;
		for (int i = 0; i < n; i++) {
			uint64_t who = events[i].data.u64;
			uint32_t index = (uint32_t)who;

			if (who == LISTENER)
				welcome();
			else if (index < table_size && name_of(index) == who)
				serve(index);
		}
	}
}
