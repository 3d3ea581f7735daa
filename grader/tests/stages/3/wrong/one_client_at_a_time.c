/*
 * Mistake: It is stage 1 in a loop: the second client waits for the first to
 *   leave.
 * Must fail: concurrency/idle_client, epoll/one_thread, epoll/listener,
 *   epoll/connections
 * Says: sleeps in recv() on the connection of the idle client
 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int parse_port(const char *text)
{
	int port = 0;

	do {
		if (*text < '0' || *text > '9')
			return -1;
		port = 10 * port + (*text - '0');
	} while (port <= 65535 && *++text);
	return port <= 65535 ? port : -1;
}

int create_server(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
	};
	int enable = 1;
	int listen_sock_fd = socket(AF_INET, SOCK_STREAM, 0);

	if (listen_sock_fd < 0)
		return -1;
	if (setsockopt(listen_sock_fd, SOL_SOCKET, SO_REUSEADDR, &enable,
		       sizeof(enable)) == 0 &&
	    bind(listen_sock_fd, (struct sockaddr *)&address,
		 sizeof(address)) == 0 &&
	    listen(listen_sock_fd, BACKLOG) == 0)
		return listen_sock_fd;
	close(listen_sock_fd);
	return -1;
}

static void echo_client(int conn_sock_fd)
{
	static char buffer[BUFF_SIZE];
	ssize_t received, sent, n;

	while ((received = recv(conn_sock_fd, buffer, sizeof(buffer), 0)) > 0 ||
	       (received < 0 && errno == EINTR)) {
		for (sent = 0; sent < received; sent += n) {
			n = send(conn_sock_fd, buffer + sent,
				 (size_t)(received - sent), MSG_NOSIGNAL);
			if (n < 0 && errno != EINTR)
				return;
			if (n < 0)
				n = 0;
		}
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int listen_sock_fd = port < 0 ? -1 : create_server(port);
	struct rlimit limit;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (listen_sock_fd < 0) {
		fprintf(stderr, "[ERROR] cannot listen on that port\n");
		return EXIT_FAILURE;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	printf("[INFO] Server listening on port %d\n", port);

	for (;;) {
		int conn_sock_fd = accept(listen_sock_fd, NULL, NULL);

		if (conn_sock_fd < 0) {
			if (errno != EINTR)
				sleep(1); /* out of something */
			continue;
		}
		printf("[INFO] Client connected to server\n");
		echo_client(conn_sock_fd);
		close(conn_sock_fd);
		printf("[INFO] Client disconnected\n");
	}
}
