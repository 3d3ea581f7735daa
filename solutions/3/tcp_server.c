/*
 * Stage 3: a TCP server that echoes to every client at once, in one thread.
 *
 *     ./tcp_server [PORT]
 *
 * The loop sleeps in epoll_wait() and nowhere else. Each client has one buffer,
 * and is read only while that is empty: whoever does not take its answers is
 * not listened to either, and TCP makes it wait. So memory stays bounded, and
 * at the end of a client's input there is never an answer left to lose.
 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long the listener is left alone when there is no descriptor to spare. */
#define PAUSE_MS 1000

struct connection {
	int conn_sock_fd;
	uint32_t events; /* what the loop watches it for */
	size_t start;    /* buffer[start] up to buffer[end] has been */
	size_t end;      /* received, and is still to be sent */
	char buffer[BUFF_SIZE];
};

struct loop {
	int epoll_fd;
	int listen_sock_fd;
	bool paused; /* out of descriptors: the listener is not watched */
};

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

int raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int create_loop(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

int loop_attach(int epoll_fd, int fd, uint32_t events, void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = owner};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Has the loop watch the listener, or (out of descriptors) leave it alone. */
static int watch_listener(struct loop *loop, bool watch)
{
	/* The listener is the one descriptor without a connection. */
	struct epoll_event event = {.events = watch ? EPOLLIN : 0};

	loop->paused = !watch;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, loop->listen_sock_fd,
			 &event);
}

static void close_connection(struct connection *conn)
{
	/* Closing its only descriptor takes it out of the loop, too. */
	close(conn->conn_sock_fd);
	free(conn);
	printf("[INFO] Client disconnected\n");
}

/* Takes a client that has just been accepted into the loop: 0, or -1. */
static int open_connection(struct loop *loop, int conn_sock_fd)
{
	struct connection *conn = malloc(sizeof(*conn));

	if (!conn)
		return -1;
	conn->conn_sock_fd = conn_sock_fd;
	conn->events = EPOLLIN;
	conn->start = 0;
	conn->end = 0;
	if (set_nonblocking(conn_sock_fd) < 0 ||
	    loop_attach(loop->epoll_fd, conn_sock_fd, conn->events, conn) < 0) {
		free(conn);
		return -1;
	}
	printf("[INFO] Client connected to server\n");
	return 0;
}

/* Accepts whoever is waiting: 0, or -1 if the loop itself breaks. */
static int accept_clients(struct loop *loop)
{
	int conn_sock_fd;

	while ((conn_sock_fd = accept(loop->listen_sock_fd, NULL, NULL)) >= 0)
		if (open_connection(loop, conn_sock_fd) < 0)
			close(conn_sock_fd);
	/*
	 * Without a free descriptor the client stays in the backlog and the
	 * listener readable: watched on, it would wake the loop for nothing.
	 */
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM)
		return watch_listener(loop, false);
	/* EAGAIN: that was all. Else, the loop names the listener again. */
	return 0;
}

/* Receives into an empty buffer what is there: 0, or -1 if the client left. */
static int receive(struct connection *conn)
{
	ssize_t count =
		recv(conn->conn_sock_fd, conn->buffer, sizeof(conn->buffer), 0);

	if (count == 0)
		return -1;
	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	conn->start = 0;
	conn->end = (size_t)count;
	return 0;
}

/* Sends as much as the kernel takes without waiting: 0, or -1. */
static int send_waiting(struct connection *conn)
{
	while (conn->start < conn->end) {
		/* To a client that has gone, send() would raise SIGPIPE. */
		ssize_t count =
			send(conn->conn_sock_fd, conn->buffer + conn->start,
			     conn->end - conn->start, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return errno == EAGAIN ? 0 : -1;
		conn->start += (size_t)count;
	}
	return 0;
}

/* Moves a client on as far as that needs no waiting: 0, or -1 if it left. */
static int handle_client(struct loop *loop, struct connection *conn)
{
	struct epoll_event event = {.data.ptr = conn};

	if (conn->start == conn->end && receive(conn) < 0)
		return -1;
	if (send_waiting(conn) < 0)
		return -1;
	/* Either there is an answer to get rid of, or room for more input. */
	event.events = conn->start < conn->end ? EPOLLOUT : EPOLLIN;
	if (event.events == conn->events)
		return 0;
	conn->events = event.events;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, conn->conn_sock_fd,
			 &event);
}

int loop_run(int epoll_fd, int listen_sock_fd)
{
	struct loop loop = {epoll_fd, listen_sock_fd, false};
	struct epoll_event events[MAX_EVENTS];

	if (loop_attach(epoll_fd, listen_sock_fd, EPOLLIN, NULL) < 0)
		return -1;
	for (;;) {
		bool was_paused = loop.paused;
		int count = epoll_wait(epoll_fd, events, MAX_EVENTS,
				       was_paused ? PAUSE_MS : -1);

		if (count < 0 && errno != EINTR)
			return -1;
		for (int i = 0; i < count; i++) {
			struct connection *conn = events[i].data.ptr;

			if (!conn && accept_clients(&loop) < 0)
				return -1;
			if (conn && handle_client(&loop, conn) < 0)
				close_connection(conn);
		}
		/* Somebody may have left: see whether there is room again. */
		if (was_paused && watch_listener(&loop, true) < 0)
			return -1;
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int listen_sock_fd, epoll_fd;

	/* Line by line also into a pipe, where whole pages would be kept. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 || port < 0) {
		fprintf(stderr, "[ERROR] usage: tcp_server [PORT], "
				"where PORT is a number from 0 to 65535\n");
		return EXIT_FAILURE;
	}
	if ((listen_sock_fd = create_server(port)) < 0 ||
	    set_nonblocking(listen_sock_fd) < 0 ||
	    (epoll_fd = create_loop()) < 0 || raise_descriptor_limit() < 0) {
		fprintf(stderr, "[ERROR] cannot listen on port %d: %s\n", port,
			strerror(errno));
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);

	loop_run(epoll_fd, listen_sock_fd);
	fprintf(stderr, "[ERROR] the loop broke: %s\n", strerror(errno));
	return EXIT_FAILURE;
}
