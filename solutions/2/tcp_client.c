/*
 * Stage 2: a TCP client that sends its standard input line by line, and
 * prints what the server sends back.
 *
 *     ./tcp_client [HOST [PORT]]
 *
 * Standard output carries the server's bytes and nothing else, so that
 * `./tcp_client < file | cmp - file` proves an echo server right.
 */
#include "tcp_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int parse_port(const char *text)
{
	char *end;
	long port;

	/* strtol() would also take spaces and a sign. */
	if (!isdigit((unsigned char)text[0]))
		return -1;
	port = strtol(text, &end, 10);
	if (*end != '\0' || port > 65535)
		return -1;
	return (int)port;
}

int connect_to_server(const char *host, int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
	};
	int sock_fd, saved_errno;

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	sock_fd = socket(AF_INET, SOCK_STREAM, 0);
	if (sock_fd < 0)
		return -1;
	if (connect(sock_fd, (struct sockaddr *)&address, sizeof(address)) <
	    0) {
		saved_errno = errno; /* close() may set its own */
		close(sock_fd);
		errno = saved_errno;
		return -1;
	}
	return sock_fd;
}

int send_all(int sock_fd, const char *data, size_t length)
{
	size_t sent = 0;

	while (sent < length) {
		/* To a server that has gone, send() would raise SIGPIPE. */
		ssize_t count =
			send(sock_fd, data + sent, length - sent, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		sent += (size_t)count;
	}
	return 0;
}

int recv_all(int sock_fd, char *data, size_t length)
{
	size_t received = 0;

	/* TCP keeps the bytes and their order, not where a message ended. */
	while (received < length) {
		ssize_t count =
			recv(sock_fd, data + received, length - received, 0);

		if (count == 0) {
			errno = ECONNRESET;
			return -1;
		}
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		received += (size_t)count;
	}
	return 0;
}

int echo_lines(int sock_fd, FILE *input, FILE *output)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int result = 0;
	int saved_errno;

	/* getline() tells the length: a line may hold NUL bytes. */
	while (errno = 0, (length = getline(&line, &capacity, input)) > 0) {
		size_t size = (size_t)length;

		/* Flushed, so that the answer is seen before the next line. */
		if (send_all(sock_fd, line, size) < 0 ||
		    recv_all(sock_fd, line, size) < 0 ||
		    fwrite(line, 1, size, output) != size ||
		    fflush(output) == EOF) {
			result = -1;
			break;
		}
	}
	if (result == 0 && !feof(input))
		result = -1; /* it was not the end that stopped us */
	saved_errno = errno;
	free(line);
	errno = saved_errno;
	return result;
}

int main(int argc, char *argv[])
{
	const char *host = argc > 1 ? argv[1] : DEFAULT_HOST;
	int port = argc > 2 ? parse_port(argv[2]) : DEFAULT_PORT;
	int sock_fd;

	if (argc > 3 || port < 0) {
		fprintf(stderr, "[ERROR] usage: tcp_client [HOST [PORT]], "
				"where PORT is a number from 0 to 65535\n");
		return EXIT_FAILURE;
	}
	sock_fd = connect_to_server(host, port);
	if (sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot connect to %s port %d: %s\n",
			host, port, strerror(errno));
		return EXIT_FAILURE;
	}
	fprintf(stderr, "[INFO] Connected to %s port %d\n", host, port);

	if (echo_lines(sock_fd, stdin, stdout) < 0) {
		fprintf(stderr, "[ERROR] the conversation broke off: %s\n",
			strerror(errno));
		close(sock_fd);
		return EXIT_FAILURE;
	}
	close(sock_fd);
	return EXIT_SUCCESS;
}
