/*
 * Mistake: It ignores the result of inet_pton(): a host that is none becomes
 *   0.0.0.0, which is this machine.
 * Must fail: connect/refused
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
static int die(const char *s)
{
	fprintf(stderr, "[ERROR] %s\n", s);
	exit(1);
}
int main(int argc, char **argv)
{
	const char *host = argc > 1 ? argv[1] : "127.0.0.1";
	char *end, *line = NULL;
	size_t cap = 0;
	ssize_t n;
	long port = 8080;
	if (argc > 2) {
		errno = 0;
		port = strtol(argv[2], &end, 10);
		if (!isdigit((unsigned char)argv[2][0]) || *end || errno ||
		    port > 65535)
			die("bad port");
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, host, &a.sin_addr);

	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	fprintf(stderr, "[INFO] connected\n");

	while ((n = getline(&line, &cap, stdin)) > 0) {

		for (ssize_t d = 0; d < n;) {
			ssize_t k = send(fd, line + d, n - d, MSG_NOSIGNAL);
			if (k < 0) {
				free(line);
				die("send");
			}
			d += k;
		}

		for (ssize_t d = 0; d < n;) {

			ssize_t k = recv(fd, line + d, n - d, 0);

			if (k <= 0) {
				free(line);
				die("server left");
			}
			d += k;
		}

		fwrite(line, 1, n, stdout);

		fflush(stdout);
	}
	free(line);
	close(fd);
	return 0;
}
