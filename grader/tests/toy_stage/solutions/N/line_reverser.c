/*
 * Stage N: a TCP server that sends back each line reversed.
 *
 *     ./line_reverser PORT
 */
#include "line_reverser.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int create_server(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_ANY),
	};
	int enable = 1;
	int saved_errno;
	int listen_sock_fd = socket(AF_INET, SOCK_STREAM, 0);

	if (listen_sock_fd < 0)
		return -1;
	if (setsockopt(listen_sock_fd, SOL_SOCKET, SO_REUSEADDR, &enable,
		       sizeof(enable)) < 0 ||
	    bind(listen_sock_fd, (struct sockaddr *)&address, sizeof(address)) <
		    0 ||
	    listen(listen_sock_fd, BACKLOG) < 0) {
		saved_errno = errno; /* close() may set its own */
		close(listen_sock_fd);
		errno = saved_errno;
		return -1;
	}
	return listen_sock_fd;
}

void reverse_line(char *line, size_t length)
{
	size_t end = length;

	if (end > 0 && line[end - 1] == '\n')
		end--;
	for (size_t start = 0; start + 1 < end; start++) {
		char last = line[--end];

		line[end] = line[start];
		line[start] = last;
	}
}

/* Sends all LENGTH bytes of DATA: 0, or -1 with errno set. */
static int send_all(int conn_sock_fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t count = send(conn_sock_fd, data, length, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		data += count;
		length -= (size_t)count;
	}
	return 0;
}

/* Answers each line that is whole in the LENGTH bytes of BUFFER, and moves what
 * is left to its beginning: how many bytes that is, or -1. */
static ssize_t answer_lines(int conn_sock_fd, char *buffer, size_t length)
{
	char *line = buffer;
	char *end;

	while ((end = memchr(line, '\n', length)) != NULL) {
		size_t size = (size_t)(end + 1 - line);

		reverse_line(line, size);
		if (send_all(conn_sock_fd, line, size) < 0)
			return -1;
		line += size;
		length -= size;
	}
	memmove(buffer, line, length);
	return (ssize_t)length;
}

/* Answers a client until it has left, or sends a line that is too long. */
static void serve_client(int conn_sock_fd)
{
	char buffer[LINE_SIZE];
	ssize_t kept = 0;

	while (kept >= 0 && kept < LINE_SIZE) {
		ssize_t count = recv(conn_sock_fd, buffer + kept,
				     sizeof(buffer) - (size_t)kept, 0);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return;
		kept = answer_lines(conn_sock_fd, buffer,
				    (size_t)(kept + count));
	}
}

int main(int argc, char *argv[])
{
	long port = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	int listen_sock_fd = create_server((int)port);

	if (listen_sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot listen: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	for (;;) {
		int conn_sock_fd = accept(listen_sock_fd, NULL, NULL);

		if (conn_sock_fd < 0)
			continue;
		serve_client(conn_sock_fd);
		close(conn_sock_fd);
	}
}
