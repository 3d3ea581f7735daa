/*
 * Mistake: A client that does not read gets a thread of its own.
 * Must fail: epoll/one_thread, epoll/waits
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
#include <pthread.h>
/* who does not take its answer gets a thread that waits until it does */
struct c {
	int fd;
	size_t at, n;
	char b[16384];
};
static int ep, lfd;
static bool paused;
static void ctl(int op, int fd, uint32_t e, void *p)
{
	struct epoll_event ev = {.events = e, .data.ptr = p};
	epoll_ctl(ep, op, fd, &ev);
}
static void *finish(void *x)
{
	struct c *c = x;
	while (c->at < c->n) {
		struct pollfd p = {.fd = c->fd, .events = POLLOUT};
		poll(&p, 1, -1);
		ssize_t n =
			send(c->fd, c->b + c->at, c->n - c->at, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			break;
		if (n > 0)
			c->at += n;
	}
	ctl(EPOLL_CTL_MOD, c->fd, EPOLLIN,
	    c); /* the loop hears of it again, or of its end */
	return NULL;
}
static int serve(struct c *c)
{
	c->at = 0;
	ssize_t n = recv(c->fd, c->b, sizeof(c->b), 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	c->n = n;
	while (c->at < c->n) {
		n = send(c->fd, c->b + c->at, c->n - c->at, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			pthread_t t;
			ctl(EPOLL_CTL_MOD, c->fd, EPOLLONESHOT,
			    c); /* errors once, and nothing more */
			ctl(EPOLL_CTL_DEL, c->fd, 0, NULL);
			ctl(EPOLL_CTL_ADD, c->fd, EPOLLET, c);
			pthread_create(&t, NULL, finish, c);
			pthread_detach(t);
			return 0;
		}
		if (n < 0)
			return -1;
		c->at += n;
	}
	return 0;
}
int main(int argc, char **argv)
{
	int port = the_port(argc, argv);
	struct epoll_event evs[64];
	more_files();
	lfd = listening(port, SOCK_STREAM | SOCK_NONBLOCK);
	ep = epoll_create1(0);
	ctl(EPOLL_CTL_ADD, lfd, EPOLLIN, NULL);
	says(port);
	for (;;) {
		int n = epoll_wait(ep, evs, 64, -1);
		for (int i = 0; i < n; i++) {
			struct c *c = evs[i].data.ptr;
			if (c) {
				if (!(evs[i].events & EPOLLIN))
					continue; /* the thread's affair */
				if (serve(c) < 0) {
					close(c->fd);
					free(c);
					if (paused) {
						paused = false;
						ctl(EPOLL_CTL_MOD, lfd, EPOLLIN,
						    NULL);
					}
				}
				continue;
			}
			int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK);
			if (fd < 0) {
				if (errno == EMFILE) {
					paused = true;
					ctl(EPOLL_CTL_MOD, lfd, 0, NULL);
				}
				continue;
			}
			c = malloc(sizeof(*c));
			c->fd = fd;
			ctl(EPOLL_CTL_ADD, fd, EPOLLIN, c);
			printf("[INFO] Client connected to server\n");
		}
	}
}
