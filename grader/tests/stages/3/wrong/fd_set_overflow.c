/*
 * Mistake: It notes which clients wait for room to send in an fd_set, which
 *   ends at descriptor 1023.
 * Must fail: concurrency/thousand
 * May fail: concurrency/burst, resources/sanitizers
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define N 5000

static struct {
	fd_set connected, waiting;
	int epfd, door, pause;
	struct rest {
		int from, to;
		char bytes[N];
	} * *rests; /* by descriptor */
} srv;

static int ctl(int op, int fd, int events)
{
	struct epoll_event ev = {.events = (unsigned)events, .data.fd = fd};

	return epoll_ctl(srv.epfd, op, fd, &ev);
}

static void end(int fd)
{
	FD_CLR(fd, &srv.connected);
	FD_CLR(fd, &srv.waiting);
	free(srv.rests[fd]);
	close(fd);
}

static void begin(void)
{
	int fd = accept4(srv.door, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0) {
		srv.pause = errno == EMFILE || errno == ENFILE;
		return;
	}
	srv.rests[fd] = malloc(sizeof(struct rest));
	if (!srv.rests[fd] || ctl(EPOLL_CTL_ADD, fd, EPOLLIN) < 0) {
		free(srv.rests[fd]);
		close(fd);
		return;
	}
	FD_SET(fd, &srv.connected);
	FD_CLR(fd, &srv.waiting);
	printf("[INFO] Client connected to server\n");
}

static void go_on(int fd)
{
	struct rest *r = srv.rests[fd];
	int n;

	if (!FD_ISSET(fd, &srv.waiting)) {
		n = (int)recv(fd, r->bytes, N, 0);
		if (n <= 0) {
			if (n == 0 || (errno != EAGAIN && errno != EINTR))
				end(fd);
			return;
		}
		r->from = 0;
		r->to = n;
	}
	n = (int)send(fd, r->bytes + r->from, r->to - r->from, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end(fd);
		return;
	}
	r->from += n > 0 ? n : 0;
	if (r->from < r->to) {
		FD_SET(fd, &srv.waiting);
		ctl(EPOLL_CTL_MOD, fd, EPOLLOUT);
	} else {
		FD_CLR(fd, &srv.waiting);
		ctl(EPOLL_CTL_MOD, fd, EPOLLIN);
	}
}

static int prepare(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	struct rlimit lim;
	int one = 1;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	srv.rests = calloc(lim.rlim_cur, sizeof(*srv.rests));
	srv.epfd = epoll_create1(0);
	srv.door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a.sin_port = htons(port);
	setsockopt(srv.door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!srv.rests || bind(srv.door, (void *)&a, sizeof(a)) < 0 ||
	    listen(srv.door, 1024) < 0)
		return -1;
	FD_ZERO(&srv.connected);
	FD_ZERO(&srv.waiting);
	return ctl(EPOLL_CTL_ADD, srv.door, EPOLLIN);
}

int main(int argc, char **argv)
{
	char *rest = "";
	long port = argc > 1 ? strtol(argv[1], &rest, 10) : 8080;
	struct epoll_event ev[64];

	setlinebuf(stdout);
	if (*rest || port < 0 || port > 65535 || (argc > 1 && !*argv[1])) {
		fprintf(stderr, "[ERROR] bad port\n");
		return 1;
	}
	if (prepare((int)port) < 0) {
		perror("[ERROR] cannot serve");
		return 1;
	}
	printf("[INFO] Server listening on port %ld\n", port);
	for (;;) {
		int n = epoll_wait(srv.epfd, ev, 64, srv.pause ? 300 : -1);

		if (srv.pause)
			ctl(EPOLL_CTL_MOD, srv.door, EPOLLIN);
		srv.pause = 0;
		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd == srv.door)
				begin();
			else
				go_on(ev[i].data.fd);
		}
		if (srv.pause)
			ctl(EPOLL_CTL_MOD, srv.door, 0);
	}
}
