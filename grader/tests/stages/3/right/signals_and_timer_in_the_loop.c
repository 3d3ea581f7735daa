/*
 * Right, but unusual: signals and time come as events, too: a signalfd ends it,
 * and a timerfd has it count its clients and look for descriptors again.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum source { LISTENER, SIGNALS, TIMER, CLIENT };

/* Whatever can be ready; what an event points to. */
struct handle {
	enum source source;
	int fd;
	size_t sent, size;
	char bytes[20000];
};

static struct handle listener = {.source = LISTENER};
static struct handle signals = {.source = SIGNALS};
static struct handle timer = {.source = TIMER};
static int epoll, clients;
static bool shut;

static bool poll_for(struct handle *h, int op, uint32_t events)
{
	struct epoll_event event = {events, {.ptr = h}};

	return epoll_ctl(epoll, op, h->fd, &event) == 0;
}

static void client_left(struct handle *h)
{
	close(h->fd);
	free(h);
	clients--;
}

static void client_came(void)
{
	int fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct handle *h;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			shut = poll_for(&listener, EPOLL_CTL_MOD, 0);
		return;
	}
	h = malloc(sizeof(*h));
	if (!h) {
		close(fd);
		return;
	}
	h->source = CLIENT;
	h->fd = fd;
	h->sent = h->size = 0;
	clients++;
	if (poll_for(h, EPOLL_CTL_ADD, EPOLLIN))
		printf("[INFO] Client connected to server\n");
	else
		client_left(h);
}

static void client_ready(struct handle *h)
{
	ssize_t n;

	if (h->sent == h->size) {
		n = recv(h->fd, h->bytes, sizeof(h->bytes), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			client_left(h);
		if (n <= 0)
			return;
		h->sent = 0;
		h->size = (size_t)n;
	}
	n = send(h->fd, h->bytes + h->sent, h->size - h->sent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		client_left(h);
		return;
	}
	h->sent += n > 0 ? (size_t)n : 0;
	poll_for(h, EPOLL_CTL_MOD, h->sent < h->size ? EPOLLOUT : EPOLLIN);
}

static void tick(void)
{
	static int before;
	uint64_t times;

	if (read(timer.fd, &times, sizeof(times)) < 0)
		return;
	if (clients != before)
		printf("[INFO] %d clients\n", clients);
	before = clients;
	if (shut)
		shut = !poll_for(&listener, EPOLL_CTL_MOD, EPOLLIN);
}

static bool set_up(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct itimerspec often = {{0, 400000000}, {0, 400000000}};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals.fd = signalfd(-1, &set, SFD_NONBLOCK);
	timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	timerfd_settime(timer.fd, 0, &often, NULL);

	address.sin_port = htons((uint16_t)port);
	listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &(int){1},
		   sizeof(int));
	epoll = epoll_create1(0);
	return bind(listener.fd, (struct sockaddr *)&address,
		    sizeof(address)) == 0 &&
	       listen(listener.fd, 4096) == 0 &&
	       poll_for(&listener, EPOLL_CTL_ADD, EPOLLIN) &&
	       poll_for(&signals, EPOLL_CTL_ADD, EPOLLIN) &&
	       poll_for(&timer, EPOLL_CTL_ADD, EPOLLIN);
}

static void loop(void)
{
	struct epoll_event events[40];
	struct signalfd_siginfo info;

	for (;;) {
		int n = epoll_wait(epoll, events, 40, -1);

		for (int i = 0; i < n; i++) {
			struct handle *h = events[i].data.ptr;

			switch (h->source) {
			case LISTENER:
				client_came();
				break;
			case SIGNALS:
				if (read(h->fd, &info, sizeof(info)) > 0)
					return;
				break;
			case TIMER:
				tick();
				break;
			case CLIENT:
				client_ready(h);
			}
		}
	}
}

int main(int argc, char *argv[])
{
	struct rlimit limit;
	int port = 8080;
	char rest;

	setlinebuf(stdout);
	if (argc > 2 ||
	    (argc == 2 && (strspn(argv[1], "0123456789") > 5 ||
			   sscanf(argv[1], "%d%c", &port, &rest) != 1))) {
		fprintf(stderr, "[ERROR] usage: tcp_server [PORT]\n");
		return 1;
	}
	if (port < 0 || port > 65535) {
		fprintf(stderr, "[ERROR] there is no port %d\n", port);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (!set_up(port)) {
		perror("[ERROR] cannot serve");
		return 1;
	}
	printf("[INFO] Server listening on port %d\n", port);
	loop();
	printf("[INFO] Server ends, with %d clients\n", clients);
	return 0;
}
