/*
 * Stage 1: a TCP server that echoes to one client, and ends with it.
 *
 *     ./tcp_server [PORT]
 *
 * The functions below are yours to write, one milestone each; tcp_server.h says
 * what each has to do, README.md how to get there. As it stands, the program
 * compiles, does nothing, and earns nothing.
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
	/* Yours to write: put the pieces together, and say what happens. */
	(void)argc;
	(void)argv;
	fprintf(stderr, "main() is still to be written: %s\n",
		strerror(ENOSYS));
	return EXIT_FAILURE;
}
