/*
 * Mistake: It has a single place for what a client does not take at once. When
 *   a second client does not take its answer either, its bytes go there, and
 *   the first client's are lost.
 * Must fail: concurrency/any_order
 * Says: client B connects
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int epoll_fd, listen_sock_fd;

/* What send() has left over, and whose it is (-1: nobody's). */
static struct {
	int fd;
	size_t from, to;
	char bytes[8192];
} outbox = {.fd = -1};

static int control(int op, int fd, unsigned int events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(epoll_fd, op, fd, &event);
}

static int open_listener(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;

	address.sin_port = htons((unsigned short)port);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return -1;
	return fd;
}

static void hang_up(int fd)
{
	if (outbox.fd == fd)
		outbox.fd = -1;
	close(fd);
	printf("[INFO] Client disconnected\n");
}

/* Whether there was a descriptor for everybody who waited. */
static bool let_in(void)
{
	for (;;) {
		int fd = accept4(listen_sock_fd, NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			return errno != EMFILE && errno != ENFILE;
		if (control(EPOLL_CTL_ADD, fd, EPOLLIN) < 0) {
			close(fd);
			continue;
		}
		printf("[INFO] Client connected to server\n");
	}
}

static void echo(int fd)
{
	char buffer[sizeof(outbox.bytes)];
	ssize_t got = recv(fd, buffer, sizeof(buffer), 0), sent;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		hang_up(fd);
		return;
	}
	sent = send(fd, buffer, (size_t)got, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		hang_up(fd);
		return;
	}
	if (sent == got)
		return;
	if (sent < 0)
		sent = 0;
	outbox.fd = fd;
	outbox.from = 0;
	outbox.to = (size_t)(got - sent);
	memcpy(outbox.bytes, buffer + sent, outbox.to);
	control(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

/* There is room again: the rest goes out before anything is read. */
static void send_rest(int fd)
{
	while (outbox.fd == fd) {
		ssize_t sent = send(fd, outbox.bytes + outbox.from,
				    outbox.to - outbox.from, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			if (errno != EAGAIN)
				hang_up(fd);
			return;
		}
		outbox.from += (size_t)sent;
		if (outbox.from == outbox.to)
			outbox.fd = -1;
	}
	control(EPOLL_CTL_MOD, fd, EPOLLIN);
}

int main(int argc, char *argv[])
{
	const char *text = argc > 1 ? argv[1] : "8080";
	char *end;
	long port = strtol(text, &end, 10);
	bool full = false;
	struct rlimit limit;
	struct epoll_event events[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (*text < '0' || *text > '9' || *end || port > 65535) {
		fprintf(stderr, "[ERROR] no such port: %s\n", text);
		return 1;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	listen_sock_fd = open_listener((int)port);
	epoll_fd = epoll_create1(0);
	if (listen_sock_fd < 0 || epoll_fd < 0 ||
	    control(EPOLL_CTL_ADD, listen_sock_fd, EPOLLIN) < 0) {
		fprintf(stderr, "[ERROR] port %ld: %s\n", port,
			strerror(errno));
		return 1;
	}
	printf("[INFO] Server listening on port %ld\n", port);

	for (;;) {
		int count = epoll_wait(epoll_fd, events, 64, full ? 500 : -1);

		if (full) /* look again */
			control(EPOLL_CTL_MOD, listen_sock_fd, EPOLLIN);
		full = false;
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == listen_sock_fd)
				full = !let_in();
			else if (events[i].events & EPOLLIN)
				echo(fd);
			else
				send_rest(fd);
		}
		if (full)
			control(EPOLL_CTL_MOD, listen_sock_fd, 0);
	}
}
