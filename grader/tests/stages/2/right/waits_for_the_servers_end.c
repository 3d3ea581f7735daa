/*
 * Right: polls both its input and the server, and at the end of its input waits
 * for the server to close, too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
static int die(const char *s)
{
	dprintf(2, "[ERROR] %s\n", s);
	exit(1);
}
static int fd;
static char line[70000];
static void need(short ev)
{
	struct pollfd p = {.fd = fd, .events = ev};
	while (poll(&p, 1, 10000) < 1)
		;
}
static void talk(size_t n)
{
	size_t sent = 0, got = 0;
	char ans[3000];
	while (sent < n) {
		ssize_t k = send(fd, line + sent, n - sent, MSG_NOSIGNAL);
		if (k < 0 && errno == EAGAIN) {
			need(POLLOUT);
			continue;
		}
		if (k < 0)
			die("send");
		sent += k;
	}
	while (got < n) {
		ssize_t k =
			recv(fd, ans,
			     n - got < sizeof(ans) ? n - got : sizeof(ans), 0);
		if (k < 0 && errno == EAGAIN) {
			need(POLLIN);
			continue;
		}
		if (k <= 0)
			die("server left");
		for (ssize_t w = 0; w < k;) {
			ssize_t j = write(1, ans + w, k - w);
			if (j < 0)
				die("write");
			w += j;
		}
		got += k;
	}
}
int main(int argc, char **argv)
{
	const char *host = argc > 1 ? argv[1] : "127.0.0.1";
	char *end;
	long port = 8080;
	size_t n = 0;
	char c;
	if (argc > 2) {
		errno = 0;
		port = strtol(argv[2], &end, 10);
		if (!isdigit((unsigned char)argv[2][0]) || *end || errno ||
		    port > 65535)
			die("bad port");
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die("bad host");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int e;
		socklen_t l = sizeof(e);
		if (errno != EINPROGRESS)
			die("connect");
		need(POLLOUT);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &l);
		if (e)
			die(strerror(e));
	}
	dprintf(2, "[INFO] connected\n");
	for (;;) {
		ssize_t k = read(0, &c, 1);
		if (k < 0)
			die("read");
		if (k == 1)
			line[n++] = c;
		if (n && (k == 0 || c == '\n' || n == sizeof(line))) {
			talk(n);
			n = 0;
		}
		if (k == 0)
			break;
	}
	shutdown(fd, SHUT_WR);
	while (recv(fd, &c, 1, 0) < 0 && errno == EAGAIN)
		need(POLLIN);
	close(fd);
	return 0;
}
