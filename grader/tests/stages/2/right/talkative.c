/* Right, but unusual: it tells on standard error of all that it does. */
#include <arpa/inet.h>
#include <errno.h>
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
	return sock;
}

int main(int argc, char **argv)
{
	const char *host = argc > 1 ? argv[1] : "127.0.0.1";
	long port = 8080;
	char *end = "";
	size_t length, done;
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
		fprintf(stderr, "[INFO] sending %zu bytes\n", length);
		for (done = 0; done < length; done += n) {
			n = write(sock, line + done, length - done);
			if (n < 0)
				fail("write");
		}
		for (done = 0; done < length; done += n) {
			n = read(sock, answer + done, length - done);
			if (n < 0)
				fail("read");
			fprintf(stderr, "[INFO] received %zd bytes\n", n);
			if (n == 0) {
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
