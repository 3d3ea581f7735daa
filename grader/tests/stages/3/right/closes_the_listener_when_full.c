/*
 * Right, but unusual: when it has no descriptor left, it closes its listening
 * socket, and opens it again when somebody has gone.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct line {
	int fd;
	unsigned first, count; /* what of data is to be sent */
	char data[10240];
};

static struct {
	int epoll_fd;
	int fd; /* of the listening socket, -1 while that is closed */
	in_port_t port;
	unsigned connected;
} exchange = {.fd = -1};

static int add(int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	return epoll_ctl(exchange.epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_exchange(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(exchange.port),
		.sin_addr.s_addr = INADDR_ANY,
	};
	int on = 1;

	exchange.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (exchange.fd < 0)
		return -1;
	if (setsockopt(exchange.fd, SOL_SOCKET, SO_REUSEADDR, &on,
		       sizeof(on)) == 0 &&
	    bind(exchange.fd, (struct sockaddr *)&address, sizeof(address)) ==
		    0 &&
	    listen(exchange.fd, SOMAXCONN) == 0 &&
	    add(exchange.fd, EPOLLIN, NULL) == 0)
		return 0;
	close(exchange.fd);
	exchange.fd = -1;
	return -1;
}

static void close_exchange(void)
{
	close(exchange.fd);
	exchange.fd = -1;
	printf("[INFO] Full, with %u clients\n", exchange.connected);
}

static void connect_line(void)
{
	int fd = accept4(exchange.fd, NULL, NULL, SOCK_NONBLOCK);
	struct line *line;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			close_exchange();
		return;
	}
	line = calloc(1, sizeof(*line));
	if (!line || add(fd, EPOLLIN, line) < 0) {
		free(line);
		close(fd);
		return;
	}
	line->fd = fd;
	exchange.connected++;
	printf("[INFO] Client connected to server\n");
}

static void disconnect(struct line *line)
{
	close(line->fd);
	free(line);
	exchange.connected--;
	if (exchange.fd < 0 && open_exchange() < 0)
		perror("[ERROR] cannot listen again");
}

static int echo(struct line *line)
{
	struct epoll_event event = {.data.ptr = line};
	ssize_t n;

	if (line->count == 0) {
		n = recv(line->fd, line->data, sizeof(line->data), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0)
			return -1;
		line->first = 0;
		line->count = (unsigned)n;
	}
	n = send(line->fd, line->data + line->first, line->count, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (n > 0) {
		line->first += (unsigned)n;
		line->count -= (unsigned)n;
	}
	event.events = line->count ? EPOLLOUT : EPOLLIN;
	return epoll_ctl(exchange.epoll_fd, EPOLL_CTL_MOD, line->fd, &event);
}

static int port_number(const char *text)
{
	int port = 0;

	if (*text == '\0')
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		port = 10 * port + (*text - '0');
		if (port > 65535)
			return -1;
	}
	return port;
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? port_number(argv[1]) : 8080;
	struct epoll_event event;
	struct rlimit limit;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (port < 0) {
		fprintf(stderr, "[ERROR] %s: not a port\n", argv[1]);
		return 1;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	exchange.port = (in_port_t)port;
	exchange.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (exchange.epoll_fd < 0 || open_exchange() < 0) {
		fprintf(stderr, "[ERROR] port %d: %s\n", port, strerror(errno));
		return 1;
	}
	printf("[INFO] Server listening on port %d\n", port);

	/* One event at a time: by the next, the listener can be another. */
	for (;;) {
		if (epoll_wait(exchange.epoll_fd, &event, 1, -1) < 1)
			continue;
		if (!event.data.ptr)
			connect_line();
		else if (echo(event.data.ptr) < 0)
			disconnect(event.data.ptr);
	}
}
