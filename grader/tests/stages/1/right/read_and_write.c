/*
 * Right, but unusual: everything in main(), with read() and write(), and a
 * goto out of two loops.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void error(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr;
	char buf[4096];
	char *end = "";
	long port = 8080;
	int lfd, cfd, on = 1;
	ssize_t n, m, off;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1) {
		errno = EINVAL;
		port = strtol(argv[1], &end, 10);
		if (end == argv[1] || *end || port < 0 || port > 65535)
			error(argv[1]);
	}

	lfd = socket(AF_INET, SOCK_STREAM, 0);
	if (lfd < 0)
		error("socket");
	if (setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		error("setsockopt");
	memset(&addr, 0, sizeof(addr));
	addr.sin_family = AF_INET;
	addr.sin_port = htons(port);
	addr.sin_addr.s_addr = INADDR_ANY;
	if (bind(lfd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		error("bind");
	if (listen(lfd, 1) < 0)
		error("listen");
	printf("[INFO] Server listening on port %ld\n", port);
	fflush(stdout);

	cfd = accept(lfd, NULL, NULL);
	if (cfd < 0)
		error("accept");
	printf("[INFO] Client connected to server\n");
	fflush(stdout);

	for (;;) {
		n = read(cfd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		for (off = 0; off < n; off += m) {
			m = write(cfd, buf + off, n - off);
			if (m < 0 && errno == EINTR)
				m = 0;
			if (m < 0)
				goto gone;
		}
	}
gone:
	printf("[INFO] Client disconnected\n");
	close(cfd);
	close(lfd);
	return 0;
}
