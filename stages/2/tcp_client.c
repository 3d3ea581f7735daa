/*
 * Stage 2: a TCP client that sends its standard input line by line, and
 * prints what the server sends back.
 *
 *     ./tcp_client [HOST [PORT]]
 *
 * The functions below are yours to write, one milestone each; tcp_client.h says
 * what each has to do, README.md how to get there. Bring along what you have
 * from stage 1.
 */
#include "tcp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int parse_port(const char *text)
{
	/* Yours from stage 1. */
	(void)text;
	return -1;
}

int connect_to_server(const char *host, int port)
{
	/* Yours to write: socket(2), inet_pton(3), connect(2). */
	(void)host;
	(void)port;
	errno = ENOSYS;
	return -1;
}

int send_all(int sock_fd, const char *data, size_t length)
{
	/* Yours from stage 1. */
	(void)sock_fd;
	(void)data;
	(void)length;
	errno = ENOSYS;
	return -1;
}

int recv_all(int sock_fd, char *data, size_t length)
{
	/* Yours to write: recv(2), and mind its three kinds of answer. */
	(void)sock_fd;
	(void)data;
	(void)length;
	errno = ENOSYS;
	return -1;
}

int echo_lines(int sock_fd, FILE *input, FILE *output)
{
	/* Yours to write: getline(3), fwrite(3), and the functions above. */
	(void)sock_fd;
	(void)input;
	(void)output;
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
