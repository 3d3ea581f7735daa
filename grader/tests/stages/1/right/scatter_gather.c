/*
 * Right, but unusual: it receives into two buffers at once with readv(), and
 * answers with writev().
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void error(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr;
	char buf[2][1000];
	struct iovec both[2], rest[2];
	char *end = "";
	long port = 8080;
	int lfd, cfd, on = 1;
	ssize_t n, m, off, cut;

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
		both[0] = (struct iovec){buf[0], sizeof(buf[0])};
		both[1] = (struct iovec){buf[1], sizeof(buf[1])};
		n = readv(cfd, both, 2);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		for (off = 0; off < n; off += m) {
			/* What is left of the first, and of the second. */
			cut = sizeof(buf[0]);
			rest[0].iov_base = buf[0] + (off < cut ? off : cut);
			rest[0].iov_len =
				off < cut ? (n < cut ? n : cut) - off : 0;
			rest[1].iov_base = buf[1] + (off > cut ? off - cut : 0);
			rest[1].iov_len =
				n > cut ? n - (off > cut ? off : cut) : 0;
			m = writev(cfd, rest, 2);
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
