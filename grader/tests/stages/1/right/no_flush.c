/*
 * Right, but unusual: its lines stay in stdio's buffer when standard output is
 * not a terminal.
 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
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

int create_server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	address.sin_port = htons((uint16_t)port);
	address.sin_addr.s_addr = htonl(INADDR_ANY);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int accept_client(int listen_sock_fd)
{
	int fd;

	do
		fd = accept(listen_sock_fd, NULL, NULL);
	while (fd < 0 && errno == EINTR);
	return fd;
}

int send_all(int conn_sock_fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = send(conn_sock_fd, data, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

int echo_client(int conn_sock_fd)
{
	char buffer[BUFF_SIZE];
	ssize_t n;

	while ((n = recv(conn_sock_fd, buffer, sizeof(buffer), 0)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || send_all(conn_sock_fd, buffer, (size_t)n) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int listen_sock_fd, conn_sock_fd;

	if (port < 0) {
		fprintf(stderr, "[ERROR] %s is not a port\n", argv[1]);
		return EXIT_FAILURE;
	}
	listen_sock_fd = create_server(port);
	if (listen_sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot listen on port %d\n", port);
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);

	conn_sock_fd = accept_client(listen_sock_fd);
	if (conn_sock_fd < 0) {
		perror("[ERROR] accept");
		return EXIT_FAILURE;
	}
	printf("[INFO] Client connected to server\n");
	echo_client(conn_sock_fd);
	close(conn_sock_fd);
	close(listen_sock_fd);
	printf("[INFO] Client disconnected\n");
	return EXIT_SUCCESS;
}
