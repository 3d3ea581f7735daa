/* Right, but unusual: it receives three bytes at a time. */
#include "tcp_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int parse_port(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || port > 65535)
		return -1;
	return (int)port;
}

int connect_to_server(const char *host, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd;

	address.sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int send_all(int sock_fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = send(sock_fd, data, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

int recv_all(int sock_fd, char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = recv(sock_fd, data, length < 3 ? length : 3, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ECONNRESET;
		if (n <= 0)
			return -1;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

int echo_lines(int sock_fd, FILE *input, FILE *output)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int result = 0;

	while (result == 0 && (length = getline(&line, &capacity, input)) > 0) {
		if (send_all(sock_fd, line, (size_t)length) < 0 ||
		    recv_all(sock_fd, line, (size_t)length) < 0)
			result = -1;
		else
			fwrite(line, 1, (size_t)length, output);
		fflush(output);
	}
	free(line);
	return result;
}

int main(int argc, char *argv[])
{
	const char *host = argc > 1 ? argv[1] : DEFAULT_HOST;
	int port = argc > 2 ? parse_port(argv[2]) : DEFAULT_PORT;
	int sock_fd;

	if (port < 0) {
		fprintf(stderr, "[ERROR] %s is not a port\n", argv[2]);
		return EXIT_FAILURE;
	}
	sock_fd = connect_to_server(host, port);
	if (sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot connect to %s:%d\n", host,
			port);
		return EXIT_FAILURE;
	}
	fprintf(stderr, "[INFO] Connected\n");
	if (echo_lines(sock_fd, stdin, stdout) < 0) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		close(sock_fd);
		return EXIT_FAILURE;
	}
	close(sock_fd);
	return EXIT_SUCCESS;
}
