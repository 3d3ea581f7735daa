/*
 * Right, but unusual: each message costs it a millisecond of work before it is
 * answered.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct caller {
	int fd, answering;
	uint32_t checksum;
	size_t length, answered;
	unsigned char message[1 << 16];
};

static int epoll_fd, listen_fd;

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Thinks about the message for as long as that is said to take. */
static void work(struct caller *caller)
{
	double end = milliseconds() + 1.0;

	do {
		for (size_t i = 0; i < caller->length; i++)
			caller->checksum =
				caller->checksum * 31 + caller->message[i];
	} while (milliseconds() < end);
}

static void await(int op, struct caller *caller)
{
	struct epoll_event event = {
		.events = caller->answering ? EPOLLOUT : EPOLLIN,
		.data.ptr = caller,
	};

	epoll_ctl(epoll_fd, op, caller->fd, &event);
}

static void hang_up(struct caller *caller)
{
	close(caller->fd);
	free(caller);
}

static void listen_to(struct caller *caller)
{
	ssize_t n = read(caller->fd, caller->message, sizeof(caller->message));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(caller);
		return;
	}
	caller->length = (size_t)n;
	caller->answered = 0;
	caller->answering = 1;
	work(caller);
	await(EPOLL_CTL_MOD, caller);
}

static void answer(struct caller *caller)
{
	ssize_t n = write(caller->fd, caller->message + caller->answered,
			  caller->length - caller->answered);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			hang_up(caller);
		return;
	}
	caller->answered += (size_t)n;
	if (caller->answered == caller->length) {
		caller->answering = 0;
		await(EPOLL_CTL_MOD, caller);
	}
}

/* Takes one call: 0 if there is no line left for it. */
static int pick_up(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK);
	struct caller *caller;

	if (fd < 0)
		return errno != EMFILE && errno != ENFILE;
	caller = calloc(1, sizeof(*caller));
	if (!caller) {
		close(fd);
		return 1;
	}
	caller->fd = fd;
	await(EPOLL_CTL_ADD, caller);
	printf("[INFO] Client connected to server\n");
	return 1;
}

static void watch_listener(int op)
{
	struct epoll_event event = {.events = EPOLLIN};

	epoll_ctl(epoll_fd, op, listen_fd, &event);
}

static int open_listener(long port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int on = 1;

	address.sin_port = htons((uint16_t)port);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return listen(listen_fd, 2000);
}

int main(int argc, char *argv[])
{
	const char *text = argc > 1 ? argv[1] : "8080";
	struct epoll_event events[64];
	struct rlimit limit;
	char *end;
	long port = strtol(text, &end, 10);
	int full = 0;

	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	if (end == text || *end || port < 0 || port > 65535) {
		fprintf(stderr, "[ERROR] '%s' is not a port\n", text);
		return 1;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	epoll_fd = epoll_create1(0);
	if (open_listener(port) < 0) {
		perror("[ERROR] cannot listen");
		return 1;
	}
	watch_listener(EPOLL_CTL_ADD);
	printf("[INFO] Server listening on port %ld\n", port);

	for (;;) {
		int n = epoll_wait(epoll_fd, events, 64, full ? 500 : -1);

		if (full)
			watch_listener(EPOLL_CTL_ADD);
		full = 0;
		for (int i = 0; i < n; i++) {
			struct caller *caller = events[i].data.ptr;

			if (!caller)
				full = !pick_up();
			else if (caller->answering)
				answer(caller);
			else
				listen_to(caller);
		}
		if (full)
			watch_listener(EPOLL_CTL_DEL);
	}
}
