/*
 * Right, but unusual: its socket does not block, and it takes the answer while
 * it is still sending the line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_LINE 65536

static char line[MAX_LINE], answer[MAX_LINE];

/* The next line's length, 0 at the end of input. */
static size_t read_line(void)
{
	size_t n = 0;
	int c;

	while (n < MAX_LINE && (c = getchar()) != EOF) {
		line[n++] = (char)c;
		if (c == '\n')
			break;
	}
	return n;
}

static void fail(const char *what)
{
	fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_connection(const char *host, int port)
{
	struct sockaddr_in to;
	int sock = socket(AF_INET, SOCK_STREAM, 0);

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons(port);
	if (!inet_aton(host, &to.sin_addr))
		fail(host);
	if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	fcntl(sock, F_SETFL, O_NONBLOCK);
	return sock;
}

int main(int argc, char **argv)
{
	const char *host = argc > 1 ? argv[1] : "127.0.0.1";
	long port = 8080;
	char *end = "";
	size_t length, done, sent;
	struct pollfd p;
	ssize_t n;
	int sock;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 2) {
		errno = EINVAL;
		port = strtol(argv[2], &end, 10);
		if (end == argv[2] || *end || port < 0 || port > 65535)
			fail(argv[2]);
	}
	sock = open_connection(host, port);

	while ((length = read_line()) > 0) {
		for (done = sent = 0; done<length; done += n> 0 ? n : 0) {
			p.fd = sock;
			p.events = sent < length ? POLLIN | POLLOUT : POLLIN;
			poll(&p, 1, -1);
			if (sent < length) {
				n = write(sock, line + sent, length - sent);
				if (n < 0 && errno != EAGAIN && errno != EINTR)
					fail("write");
				sent += n > 0 ? n : 0;
			}
			n = read(sock, answer + done, sent - done);
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				fail("read");
			if (n == 0 && done < sent) {
				fprintf(stderr, "[ERROR] the server left\n");
				exit(1);
			}
		}
		fwrite(answer, 1, length, stdout);
		fflush(stdout);
	}
	close(sock);
	return 0;
}
