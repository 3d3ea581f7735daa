/*
 * Right, but unusual: nothing is kept for a client: what it sent is looked at
 * (MSG_PEEK), sent back, and then thrown away (MSG_TRUNC).
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

static char scratch[256 * 1024]; /* holds nothing between two calls */

enum verdict { OVER, STALLED, FINE };

static enum verdict echo(int fd)
{
	ssize_t seen = recv(fd, scratch, sizeof(scratch),
			    MSG_PEEK | MSG_DONTWAIT);
	ssize_t sent, left;

	if (seen < 0)
		return again() ? FINE : OVER;
	if (seen == 0)
		return OVER;
	sent = send(fd, scratch, (size_t)seen, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EINTR ? FINE : errno == EAGAIN ? STALLED : OVER;
	for (left = sent; left > 0;) {
		ssize_t gone = recv(fd, scratch, (size_t)left,
				    MSG_TRUNC | MSG_DONTWAIT);

		if (gone < 0 && errno == EINTR)
			continue;
		if (gone <= 0)
			return OVER;
		left -= gone;
	}
	return sent == seen ? FINE : STALLED;
}

static int watch(int epoll_fd, int op, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(epoll_fd, op, fd, &event);
}

static int loop_run(int epoll_fd, int listen_fd)
{
	struct epoll_event events[64];
	bool paused = false;

	if (watch(epoll_fd, EPOLL_CTL_ADD, listen_fd, EPOLLIN) < 0)
		return -1;
	for (;;) {
		bool somebody_comes = false, somebody_left = false;
		int n, fd;

		log_flush();
		n = epoll_wait(epoll_fd, events, 64,
			       paused || log_bytes ? 500 : -1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		for (int i = 0; i < n; i++) {
			bool stalled = events[i].events & EPOLLOUT;

			fd = events[i].data.fd;
			if (fd == listen_fd) {
				somebody_comes = true;
				continue;
			}
			switch (echo(fd)) {
			case OVER:
				close(fd);
				somebody_left = true;
				break;
			case STALLED:
				if (!stalled)
					watch(epoll_fd, EPOLL_CTL_MOD, fd,
					      EPOLLOUT);
				break;
			case FINE:
				if (stalled)
					watch(epoll_fd, EPOLL_CTL_MOD, fd,
					      EPOLLIN);
				break;
			}
		}
		if (paused && (somebody_left || n == 0)) {
			paused = watch(epoll_fd, EPOLL_CTL_MOD, listen_fd,
				       EPOLLIN) < 0;
		}
		if (!somebody_comes)
			continue;
		while ((fd = accept_client(listen_fd, 0)) >= 0) {
			log_client();
			if (watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN) < 0)
				close(fd);
		}
		if (fd == NO_ROOM && watch(epoll_fd, EPOLL_CTL_MOD, listen_fd,
					   0) == 0)
			paused = true;
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : 8080;
	int listen_fd, epoll_fd;

	signal(SIGPIPE, SIG_IGN);
	if (port < 0) {
		errno = EINVAL;
		return fail("port");
	}
	raise_descriptor_limit();
	if ((listen_fd = create_server(port)) < 0)
		return fail("cannot listen");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return fail("epoll_create1");
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	loop_run(epoll_fd, listen_fd);
	return fail("loop");
}
