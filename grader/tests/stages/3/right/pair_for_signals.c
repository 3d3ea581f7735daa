/*
 * Right: a ring buffer for each client, and signals that come through a pair of
 * sockets.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int the_port(int argc, char **argv)
{
	char *end;
	long port = 8080;
	if (argc > 1) {
		errno = 0;
		port = strtol(argv[1], &end, 10);
		if (!isdigit((unsigned char)argv[1][0]) || *end || errno ||
		    port > 65535) {
			fprintf(stderr, "[ERROR] bad port\n");
			exit(1);
		}
	}
	return (int)port;
}
static void more_files(void)
{
	struct rlimit rl;
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}
static int listening(int port, int type)
{
	struct sockaddr_in any = {.sin_family = AF_INET,
				  .sin_port = htons(port)};
	int on = 1, fd = socket(AF_INET, type, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(fd, 512) < 0) {
		fprintf(stderr, "[ERROR] cannot listen on %d: %s\n", port,
			strerror(errno));
		exit(1);
	}
	return fd;
}
static void says(int port)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("[INFO] Server listening on port %d\n", port);
}
#define SIZE 65536
struct ring {
	int fd;
	uint32_t ev;
	bool eof;
	size_t in, out;
	char b[SIZE];
};
static int ep, lfd, paused, sig[2] = {-1, -1};
static void on_signal(int s)
{
	char c = (char)s;
	int e = errno;
	if (write(sig[1], &c, 1) < 0) {
	}
	errno = e;
}
static void ctl(int op, int fd, uint32_t e, void *p)
{
	struct epoll_event ev = {.events = e, .data.ptr = p};
	epoll_ctl(ep, op, fd, &ev);
}
static int parts(struct ring *r, struct iovec *v, size_t from, size_t n)
{
	size_t at = from % SIZE, first = n < SIZE - at ? n : SIZE - at;
	v[0] = (struct iovec){r->b + at, first};
	v[1] = (struct iovec){r->b, n - first};
	return n > first ? 2 : 1;
}
static int serve(struct ring *r)
{
	struct iovec v[2];
	ssize_t n;
	if (!r->eof && r->in - r->out < SIZE) {
		n = readv(r->fd, v,
			  parts(r, v, r->in, SIZE - (r->in - r->out)));
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (n == 0)
			r->eof = true;
		if (n > 0)
			r->in += n;
	}
	while (r->in != r->out) {
		n = writev(r->fd, v, parts(r, v, r->out, r->in - r->out));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -1;
		r->out += n;
	}
	if (r->eof && r->in == r->out)
		return -1;
	uint32_t want = (r->in != r->out ? EPOLLOUT : 0) |
			(!r->eof && r->in - r->out < SIZE ? EPOLLIN : 0);
	if (want != r->ev)
		ctl(EPOLL_CTL_MOD, r->fd, r->ev = want, r);
	return 0;
}
int main(int argc, char **argv)
{
	int port = the_port(argc, argv);
	struct epoll_event evs[64];
	static int self;
	more_files();
	signal(SIGPIPE, SIG_IGN);
	lfd = listening(port, SOCK_STREAM | SOCK_NONBLOCK);

	ep = epoll_create1(0);
	ctl(EPOLL_CTL_ADD, lfd, EPOLLIN, NULL);

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sig) < 0)
		return 1;
	ctl(EPOLL_CTL_ADD, sig[0], EPOLLIN, &self);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);

	says(port);
	for (;;) {
		int n = epoll_wait(ep, evs, 64, -1);
		for (int i = 0; i < n; i++) {
			struct ring *r = evs[i].data.ptr;
			int fd;
			if ((void *)r == &self)
				return 0;
			if (r) {
				if (serve(r) < 0) {
					close(r->fd);
					free(r);
					if (paused) {
						paused = 0;
						ctl(EPOLL_CTL_MOD, lfd, EPOLLIN,
						    NULL);
					}
				}
				continue;
			}
			while ((fd = accept4(lfd, NULL, NULL,
					     SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
			       0) {
				r = malloc(sizeof(*r));
				r->fd = fd;
				r->eof = false;
				r->in = r->out = 0;
				ctl(EPOLL_CTL_ADD, fd, r->ev = EPOLLIN, r);
				printf("[INFO] Client connected to server\n");
			}
			if (errno == EMFILE || errno == ENFILE) {
				paused = 1;
				ctl(EPOLL_CTL_MOD, lfd, 0, NULL);
			}
		}
	}
}
