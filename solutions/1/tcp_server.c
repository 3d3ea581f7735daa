/*
 * Stage 1: a blocking TCP server that echoes to one client, and ends with it.
 *
 *     ./tcp_server [PORT]
 *
 * One connection at a time makes the simplest server there is: every call may
 * wait as long as it likes, because there is nobody else to keep waiting.
 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
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
	/*
	 * Connections of a server that has just ended stay in TIME_WAIT for a
	 * minute; without this, they would keep its port from us.
	 */
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

int accept_client(int listen_sock_fd)
{
	int conn_sock_fd;

	/* A client that gave up while it queued is no fault of ours. */
	do
		conn_sock_fd = accept(listen_sock_fd, NULL, NULL);
	while (conn_sock_fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return conn_sock_fd;
}

int send_all(int conn_sock_fd, const char *data, size_t length)
{
	size_t sent = 0;

	while (sent < length) {
		/* To a client that has gone, send() would raise SIGPIPE. */
		ssize_t count = send(conn_sock_fd, data + sent, length - sent,
				     MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		sent += (size_t)count;
	}
	return 0;
}

int echo_client(int conn_sock_fd)
{
	char buffer[BUFF_SIZE];

	for (;;) {
		ssize_t count = recv(conn_sock_fd, buffer, sizeof(buffer), 0);

		if (count == 0) /* the client has sent its last byte */
			return 0;
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		if (send_all(conn_sock_fd, buffer, (size_t)count) < 0)
			return -1;
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int listen_sock_fd, conn_sock_fd;

	/* Line by line also into a pipe, where whole pages would be kept. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 || port < 0) {
		fprintf(stderr, "[ERROR] usage: tcp_server [PORT], "
				"where PORT is a number from 0 to 65535\n");
		return EXIT_FAILURE;
	}
	listen_sock_fd = create_server(port);
	if (listen_sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot listen on port %d: %s\n", port,
			strerror(errno));
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);

	conn_sock_fd = accept_client(listen_sock_fd);
	if (conn_sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot accept a client: %s\n",
			strerror(errno));
		close(listen_sock_fd);
		return EXIT_FAILURE;
	}
	printf("[INFO] Client connected to server\n");

	/* A connection that breaks is one way of leaving, and no error. */
	if (echo_client(conn_sock_fd) < 0)
		printf("[INFO] Client disconnected: %s\n", strerror(errno));
	else
		printf("[INFO] Client disconnected\n");
	close(conn_sock_fd);
	close(listen_sock_fd);
	return EXIT_SUCCESS;
}
