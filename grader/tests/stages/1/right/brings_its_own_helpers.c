/*
 * Right, but unusual: helpers in the style of a larger server, and a dozen
 * headers that it does not need.
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
static ssize_t all(int fd, const char *b, size_t n)
{
	size_t d = 0;
	while (d < n) {
		ssize_t k = send(fd, b + d, n - d, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		d += k;
	}
	return 0;
}
int main(int argc, char **argv)
{
	int port = the_port(argc, argv), fd, l = listening(port, SOCK_STREAM);
	char b[8192];
	ssize_t n;
	says(port);
	fd = accept(l, NULL, NULL);
	if (fd < 0)
		return 1;
	printf("[INFO] Client connected to server\n");

	while ((n = recv(fd, b, sizeof(b), 0)) > 0) {

		if (all(fd, b, n) < 0) {
			n = -1;
			break;
		}
	}

	close(fd);
	close(l);
	printf("[INFO] Client disconnected\n");
	return 0;
}
