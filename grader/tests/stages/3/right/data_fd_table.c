/*
 * Right, but unusual: the events carry descriptors, the clients' state is in
 * parallel arrays that the descriptor is the index of, and EPOLLERR and
 * EPOLLHUP are looked at on their own.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD 65536
#define PIECE 4096

static char *pending[MAX_FD]; /* what send() did not take, if anything */
static unsigned pending_len[MAX_FD], pending_off[MAX_FD];
static int ep, lst, tired;

static void mod(int fd, unsigned events)
{
	struct epoll_event ev = {.events = events, .data = {.fd = fd}};

	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
}

static void bye(int fd)
{
	free(pending[fd]);
	pending[fd] = NULL;
	close(fd);
	printf("[INFO] Client disconnected\n");
}

static void new_clients(void)
{
	struct epoll_event ev = {.events = EPOLLIN};

	while ((ev.data.fd = accept4(lst, 0, 0, SOCK_NONBLOCK)) >= 0) {
		if (ev.data.fd >= MAX_FD ||
		    epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev) < 0)
			close(ev.data.fd);
		else
			printf("[INFO] Client connected to server\n");
	}
	tired = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
	if (tired)
		mod(lst, 0);
}

static void readable(int fd)
{
	char piece[PIECE];
	ssize_t got = recv(fd, piece, PIECE, 0), put;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		bye(fd);
		return;
	}
	put = send(fd, piece, got, MSG_NOSIGNAL);
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		put = 0;
	if (put < 0 || (put < got && !(pending[fd] = malloc(got - put)))) {
		bye(fd);
		return;
	}
	if (put == got)
		return;
	memcpy(pending[fd], piece + put, got - put);
	pending_len[fd] = got - put;
	pending_off[fd] = 0;
	mod(fd, EPOLLOUT);
}

static void writable(int fd)
{
	ssize_t put = send(fd, pending[fd] + pending_off[fd],
			   pending_len[fd] - pending_off[fd], MSG_NOSIGNAL);

	if (put < 0) {
		if (errno != EAGAIN && errno != EINTR)
			bye(fd);
		return;
	}
	pending_off[fd] += put;
	if (pending_off[fd] == pending_len[fd]) {
		free(pending[fd]);
		pending[fd] = NULL;
		mod(fd, EPOLLIN);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct epoll_event evs[512], ev = {.events = EPOLLIN};
	struct rlimit rl;
	char *end = "";
	long port = argc == 2 ? strtol(argv[1], &end, 10) : 8080;

	setlinebuf(stdout);
	if (argc > 2 || *end || port < 0 || port > 65535 ||
	    (argc == 2 && !*argv[1])) {
		fprintf(stderr, "[ERROR] tcp_server [PORT]\n");
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);

	lst = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(lst, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	sin.sin_port = htons(port);
	if (bind(lst, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
	    listen(lst, 128) < 0) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		return 1;
	}
	ep = epoll_create1(0);
	ev.data.fd = lst;
	epoll_ctl(ep, EPOLL_CTL_ADD, lst, &ev);
	printf("[INFO] Server listening on port %ld\n", port);

	for (;;) {
		int n = epoll_wait(ep, evs, 512, tired ? 100 : -1);
		int was_tired = tired;

		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;

			if (fd == lst)
				new_clients();
			else if (evs[i].events & EPOLLIN)
				readable(fd);
			else if (evs[i].events & EPOLLOUT)
				writable(fd);
			else /* EPOLLERR or EPOLLHUP alone */
				bye(fd);
		}
		if (was_tired) {
			tired = 0;
			mod(lst, EPOLLIN);
		}
	}
}
