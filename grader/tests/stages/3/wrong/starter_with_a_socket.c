/*
 * Mistake: It is still the starter, with some code brought along from stage 1:
 *   it accepts, serves nobody, and closes.
 * Must fail: echo/line
 * May fail: start/announces, start/restart
 */
#include "tcp_server.h"

#include <arpa/inet.h>
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

	if (end == text || *end != '\0' || port < 0 || port > 65535)
		return -1;
	return port;
}

int create_server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port)};
	int enable = 1;
	int listen_sock_fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(listen_sock_fd, SOL_SOCKET, SO_REUSEADDR, &enable,
		   sizeof(enable));
	if (bind(listen_sock_fd, (struct sockaddr *)&address, sizeof(address)) <
		    0 ||
	    listen(listen_sock_fd, BACKLOG) < 0) {
		close(listen_sock_fd);
		return -1;
	}
	return listen_sock_fd;
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
		printf("[INFO] Client connected to server\n");
		serve(conn_sock_fd);
		close(conn_sock_fd);
	}
	return -1;
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int epoll_fd = create_loop();
	int listen_sock_fd = port < 0 ? -1 : create_server(port);

	if (listen_sock_fd < 0) {
		fprintf(stderr, "[ERROR] create_server() failed: %s\n",
			strerror(errno));
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);
	loop_run(epoll_fd, listen_sock_fd);
	return EXIT_FAILURE;
}
