/*
 * Stage 3: the same server for every client at once, in one thread.
 *
 *     ./tcp_server [PORT]
 *
 * It starts as what you know: a loop that accepts one client after the other
 * (loop_run, below). tcp_server.h says what each function has to do, README.md
 * how to get there.
 */
#include "tcp_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int parse_port(const char *text)
{
	/* Yours from stage 1. */
	(void)text;
	return -1;
}

int create_server(int port)
{
	/* Yours from stage 1. */
	(void)port;
	errno = ENOSYS;
	return -1;
}

int raise_descriptor_limit(void)
{
	/* Yours to write: getrlimit(2), setrlimit(2). */
	errno = ENOSYS;
	return -1;
}

int set_nonblocking(int fd)
{
	/* Yours to write: fcntl(2), file status flags. */
	(void)fd;
	errno = ENOSYS;
	return -1;
}

int create_loop(void)
{
	/* Yours to write: epoll_create1(2). */
	errno = ENOSYS;
	return -1;
}

int loop_attach(int epoll_fd, int fd, uint32_t events, void *owner)
{
	/* Yours to write: epoll_ctl(2). */
	(void)epoll_fd;
	(void)fd;
	(void)events;
	(void)owner;
	errno = ENOSYS;
	return -1;
}

/* Serves one client until it leaves, while all the others wait. */
static void serve(int conn_sock_fd)
{
	/* Yours from stage 1; and what will become of it in an event loop? */
	(void)conn_sock_fd;
}

int loop_run(int epoll_fd, int listen_sock_fd)
{
	int conn_sock_fd;

	/* One client after the other. This is what you turn into the loop. */
	(void)epoll_fd;
	while ((conn_sock_fd = accept(listen_sock_fd, NULL, NULL)) >= 0) {
		serve(conn_sock_fd);
		close(conn_sock_fd);
	}
	return -1;
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int epoll_fd = create_loop();
	int listen_sock_fd = create_server(port);

	if (listen_sock_fd < 0) {
		fprintf(stderr, "create_server() failed: %s\n",
			strerror(errno));
		return EXIT_FAILURE;
	}
	loop_run(epoll_fd, listen_sock_fd);
	return EXIT_FAILURE;
}
