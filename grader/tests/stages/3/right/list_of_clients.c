/*
 * Right, but unusual: clients are in a list of their own; each answer is sent
 * from the front of its buffer, and the rest moved up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_PORT 8080
#define BACKLOG 4096
#define BUFF_SIZE 16384
#define MAX_EVENTS 64
#define RETRY_MS 1000

struct client {
	int fd;
	uint32_t watched; /* what epoll watches it for */
	bool ended;	  /* it has sent its last byte */
	size_t owed;	  /* bytes at the start of buffer not sent back yet */
	struct client *prev, *next;
	char buffer[BUFF_SIZE];
};

struct loop {
	int epoll_fd;
	int listen_fd;
	bool paused;		/* nobody is accepted for the time being */
	int timeout;		/* of epoll_wait */
	struct client *clients; /* all of them */
};

int parse_port(const char *text)
{
	char *end;
	long port;

	if (*text < '0' || *text > '9')
		return -1;
	port = strtol(text, &end, 10);
	if (*end != '\0' || port > 65535)
		return -1;
	return (int)port;
}

int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : 0;
}

int create_server(int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_ANY),
	};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		int reason = errno;

		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

int raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit);
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

static int loop_change(int epoll_fd, int fd, uint32_t events, void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = owner};

	return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/* No descriptors (or no memory) left: whoever comes stays in the backlog. */
static void pause_accepting(struct loop *loop, int reason)
{
	loop_change(loop->epoll_fd, loop->listen_fd, 0, NULL);
	loop->paused = true;
	/* If it is not our own clients whose leaving helps, look again later. */
	loop->timeout = reason == EMFILE && loop->clients ? -1 : RETRY_MS;
}

static void resume_accepting(struct loop *loop)
{
	if (!loop->paused)
		return;
	loop_change(loop->epoll_fd, loop->listen_fd, EPOLLIN, NULL);
	loop->paused = false;
	loop->timeout = -1;
}

static void close_client(struct loop *loop, struct client *client)
{
	if (client->next)
		client->next->prev = client->prev;
	if (client->prev)
		client->prev->next = client->next;
	else
		loop->clients = client->next;
	close(client->fd);
	free(client);
	resume_accepting(loop);
}

static void accept_clients(struct loop *loop)
{
	for (int i = 0; i < MAX_EVENTS; i++) {
		struct client *client = malloc(sizeof *client);
		int reason;

		if (!client) {
			pause_accepting(loop, ENOMEM);
			return;
		}
		client->fd = accept(loop->listen_fd, NULL, NULL);
		if (client->fd < 0) {
			reason = errno;
			free(client);
			if (reason == EMFILE || reason == ENFILE ||
			    reason == ENOBUFS || reason == ENOMEM)
				pause_accepting(loop, reason);
			if (reason == ECONNABORTED || reason == EINTR)
				continue;
			return;
		}
		printf("[INFO] Client connected to server\n");
		client->watched = EPOLLIN;
		client->ended = false;
		client->owed = 0;
		client->prev = NULL;
		client->next = loop->clients;
		if (set_nonblocking(client->fd) < 0 ||
		    loop_attach(loop->epoll_fd, client->fd, EPOLLIN, client) < 0) {
			close(client->fd);
			free(client);
			continue;
		}
		if (client->next)
			client->next->prev = client;
		loop->clients = client;
	}
}

/* Receives once what fits into the buffer; false if the connection broke. */
static bool receive(struct client *client)
{
	ssize_t n = recv(client->fd, client->buffer + client->owed,
			 BUFF_SIZE - client->owed, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		client->ended = true;
	client->owed += (size_t)n;
	return true;
}

/* Sends once what is owed, or what fits; false if the connection broke. */
static bool flush(struct client *client)
{
	ssize_t n = send(client->fd, client->buffer, client->owed, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->owed -= (size_t)n;
	memmove(client->buffer, client->buffer + n, client->owed);
	return true;
}

/* Has epoll watch CLIENT for what it can do now. */
static void watch(struct loop *loop, struct client *client)
{
	uint32_t events = 0;

	if (!client->ended && client->owed < BUFF_SIZE)
		events |= EPOLLIN;
	if (client->owed > 0)
		events |= EPOLLOUT;
	if (events == client->watched)
		return;
	client->watched = events;
	loop_change(loop->epoll_fd, client->fd, events, client);
}

static void serve(struct loop *loop, struct client *client, uint32_t events)
{
	bool alive = true;

	if (events & EPOLLIN)
		alive = receive(client);
	if (alive && client->owed > 0)
		alive = flush(client);
	if (!alive || (client->ended && client->owed == 0))
		close_client(loop, client);
	else
		watch(loop, client);
}

int loop_run(int epoll_fd, int listen_sock_fd)
{
	struct epoll_event events[MAX_EVENTS];
	struct loop loop = {
		.epoll_fd = epoll_fd,
		.listen_fd = listen_sock_fd,
		.timeout = -1,
	};

	if (set_nonblocking(listen_sock_fd) < 0 ||
	    loop_attach(epoll_fd, listen_sock_fd, EPOLLIN, NULL) < 0)
		return -1;
	for (;;) {
		int n = epoll_wait(epoll_fd, events, MAX_EVENTS, loop.timeout);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n == 0)
			resume_accepting(&loop);
		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				accept_clients(&loop);
			else
				serve(&loop, events[i].data.ptr, events[i].events);
		}
	}
}

int main(int argc, char *argv[])
{
	int port = argc > 1 ? parse_port(argv[1]) : DEFAULT_PORT;
	int listen_sock_fd, epoll_fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (port < 0) {
		fprintf(stderr, "[ERROR] Not a port: %s\n", argv[1]);
		return EXIT_FAILURE;
	}
	listen_sock_fd = create_server(port);
	if (listen_sock_fd < 0) {
		fprintf(stderr, "[ERROR] Cannot listen on port %d: %s\n", port,
			strerror(errno));
		return EXIT_FAILURE;
	}
	if (raise_descriptor_limit() < 0)
		perror("[ERROR] setrlimit");
	epoll_fd = create_loop();
	if (epoll_fd < 0) {
		perror("[ERROR] epoll_create1");
		close(listen_sock_fd);
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);
	loop_run(epoll_fd, listen_sock_fd);
	perror("[ERROR] epoll_wait");
	close(epoll_fd);
	close(listen_sock_fd);
	return EXIT_FAILURE;
}
