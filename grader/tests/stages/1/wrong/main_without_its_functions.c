/*
 * Mistake: main() is written, but the functions that it calls are still the
 *   starter's.
 * Must fail: start/listens
 * Says: still to be written
 */
#include "tcp_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int parse_port(const char *text)
{
	/* Yours to write: strtol(3), and mind where it stopped. */
	(void)text;
	return -1;
}

int create_server(int port)
{
	/*
	 * Yours to write: socket(2), setsockopt(2), bind(2), listen(2); ip(7)
	 * has the address, socket(7) the options.
	 */
	(void)port;
	errno = ENOSYS;
	return -1;
}

int accept_client(int listen_sock_fd)
{
	/* Yours to write: accept(2). */
	(void)listen_sock_fd;
	errno = ENOSYS;
	return -1;
}

int send_all(int conn_sock_fd, const char *data, size_t length)
{
	/* Yours to write: send(2), and mind what it returns. */
	(void)conn_sock_fd;
	(void)data;
	(void)length;
	errno = ENOSYS;
	return -1;
}

int echo_client(int conn_sock_fd)
{
	/* Yours to write: recv(2), and the function above. */
	(void)conn_sock_fd;
	errno = ENOSYS;
	return -1;
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int listen_sock_fd = create_server(port), conn_sock_fd;

	if (listen_sock_fd < 0) {
		perror("[ERROR] create_server");
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);
	conn_sock_fd = accept_client(listen_sock_fd);
	if (conn_sock_fd < 0) {
		perror("[ERROR] accept_client");
		return EXIT_FAILURE;
	}
	printf("[INFO] Client connected to server\n");
	echo_client(conn_sock_fd);
	printf("[INFO] Client disconnected\n");
	return EXIT_SUCCESS;
}
