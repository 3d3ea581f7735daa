/*
 * Right, but unusual: signals, a timer, an eventfd and standard input are in
 * the loop; who has left is closed in the next round.
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
	    listen(fd, -1) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#define PART 16384

struct source {
	void (*happened)(struct source *self, uint32_t events);
	int fd;
};

struct client {
	struct source source; /* first */
	struct client *next, *prev;
	struct client *next_dead;
	uint32_t watched;
	size_t from, to;
	char part[PART];
};

static int epoll_fd;
static struct source listener, timer, bell, signals, keyboard;
static struct client *clients, *graveyard;
static unsigned long client_count, ever;
static bool paused, done;

static int watch(int op, struct source *s, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = s};

	return epoll_ctl(epoll_fd, op, s->fd, &event);
}

/* The timer rings once, in half a second. */
static void wind_timer(void)
{
	struct itimerspec when = {.it_value = {.tv_nsec = 500000000}};

	timerfd_settime(timer.fd, 0, &when, NULL);
}

static void unpause(void)
{
	if (paused && watch(EPOLL_CTL_MOD, &listener, EPOLLIN) == 0)
		paused = false;
}

static void die(struct client *c)
{
	uint64_t one = 1;

	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->source.fd, NULL);
	c->next_dead = graveyard;
	graveyard = c;
	if (write(bell.fd, &one, sizeof(one)) < 0)
		return; /* it rings already */
}

static void bury(struct client *c)
{
	close(c->source.fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	client_count--;
	free(c);
}

static void on_bell(struct source *self, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(self->fd, &count, sizeof(count)) < 0)
		return;
	while (graveyard != NULL) {
		struct client *c = graveyard;

		graveyard = c->next_dead;
		bury(c);
	}
	unpause();
}

static void on_timer(struct source *self, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(self->fd, &count, sizeof(count)) < 0)
		return;
	unpause();
	log_flush();
	if (log_bytes)
		wind_timer();
}

static void on_signal(struct source *self, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(self->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
		done = true;
}

static void on_keyboard(struct source *self, uint32_t events)
{
	char text[256];
	struct iovec part = {.iov_base = text, .iov_len = sizeof(text) - 1};
	ssize_t n = preadv2(self->fd, &part, 1, -1, RWF_NOWAIT);

	(void)events;
	if (n < 0 && again())
		return;
	if (n <= 0) { /* its end, or it cannot be read in this way */
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, self->fd, NULL);
		return;
	}
	text[n] = '\0';
	if (strncmp(text, "status", 6) == 0)
		fprintf(stderr, "[DEBUG] %lu clients now, %lu ever\n",
			client_count, ever);
}

static void on_client(struct source *self, uint32_t events)
{
	struct client *c = (struct client *)self;
	uint32_t want;
	ssize_t n;

	(void)events;
	if (c->from == c->to) {
		n = recv(self->fd, c->part, PART, 0);
		if (n < 0 && again())
			return;
		if (n <= 0) {
			die(c);
			return;
		}
		c->from = 0;
		c->to = (size_t)n;
	}
	n = send(self->fd, c->part + c->from, c->to - c->from, MSG_NOSIGNAL);
	if (n < 0 && !again()) {
		die(c);
		return;
	}
	if (n > 0)
		c->from += (size_t)n;
	want = c->from < c->to ? EPOLLOUT : EPOLLIN;
	if (want != c->watched && watch(EPOLL_CTL_MOD, self, want) == 0)
		c->watched = want;
}

static void on_listener(struct source *self, uint32_t events)
{
	(void)events;
	for (;;) {
		struct client *c = malloc(sizeof(*c));
		int fd = c ? accept_client(self->fd, SOCK_NONBLOCK) : NO_ROOM;

		if (fd < 0) {
			free(c);
			if (fd == NO_ROOM) {
				watch(EPOLL_CTL_MOD, self, 0);
				paused = true;
				wind_timer();
			}
			return;
		}
		log_client();
		ever++;
		client_count++;
		c->source.happened = on_client;
		c->source.fd = fd;
		c->watched = EPOLLIN;
		c->from = c->to = 0;
		c->prev = c->next_dead = NULL;
		c->next = clients;
		if (clients)
			clients->prev = c;
		clients = c;
		if (watch(EPOLL_CTL_ADD, &c->source, EPOLLIN) < 0)
			bury(c);
	}
}

static int wait_for_events(struct epoll_event *events, int max)
{
#ifdef SYS_epoll_pwait2
	static bool missing;

	if (!missing) {
		long n = syscall(SYS_epoll_pwait2, epoll_fd, events, max, NULL,
				 NULL, (size_t)8);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return (int)n;
		missing = true;
	}
#endif
	return epoll_wait(epoll_fd, events, max, -1);
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	static struct epoll_event events[64];
	sigset_t set;

	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise_descriptor_limit();

	listener.happened = on_listener;
	if ((listener.fd = create_server(port)) < 0)
		return fail("cannot listen");
	timer.happened = on_timer;
	timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	bell.happened = on_bell;
	bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	signals.happened = on_signal;
	signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	keyboard.happened = on_keyboard;
	keyboard.fd = STDIN_FILENO;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || watch(EPOLL_CTL_ADD, &timer, EPOLLIN) < 0 ||
	    watch(EPOLL_CTL_ADD, &bell, EPOLLIN) < 0 ||
	    watch(EPOLL_CTL_ADD, &signals, EPOLLIN) < 0 ||
	    watch(EPOLL_CTL_ADD, &listener, EPOLLIN) < 0)
		return fail("cannot start");
	watch(EPOLL_CTL_ADD, &keyboard, EPOLLIN); /* not if it is a file */
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);

	while (!done) {
		int n = wait_for_events(events, 64);

		if (n < 0 && errno != EINTR)
			return fail("epoll_pwait2");
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			s->happened(s, events[i].events);
		}
		if (log_bytes) {
			log_flush();
			if (log_bytes)
				wind_timer();
		}
	}
	while (clients != NULL)
		bury(clients);
	close(listener.fd);
	close(timer.fd);
	close(bell.fd);
	close(signals.fd);
	close(epoll_fd);
	return EXIT_SUCCESS;
}
