/*
 * Mistake: It uses poll(), where epoll is asked for.
 * Must fail: epoll/listener, epoll/connections, epoll/waits
 * Says: has no epoll instance
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 8192

struct buffer {
	size_t off, len;
	char data[CHUNK];
};

/* fds[0] is the listener; the others have their buffer at the same index. */
static struct pollfd *fds;
static struct buffer **buffers;
static size_t used = 1, room = 1;

static int add(int fd)
{
	if (used == room) {
		struct pollfd *f = realloc(fds, 2 * room * sizeof(*fds));
		struct buffer **b = realloc(buffers, 2 * room * sizeof(*b));

		fds = f ? f : fds;
		buffers = b ? b : buffers;
		if (!f || !b)
			return -1;
		room *= 2;
	}
	if (!(buffers[used] = calloc(1, sizeof(struct buffer))))
		return -1;
	fds[used].fd = fd;
	fds[used].events = POLLIN;
	fds[used].revents = 0;
	used++;
	return 0;
}

static void drop(size_t i)
{
	close(fds[i].fd);
	free(buffers[i]);
	used--;
	fds[i] = fds[used];
	buffers[i] = buffers[used];
}

static int serve(struct pollfd *p, struct buffer *b)
{
	ssize_t n;

	if (b->off == b->len) {
		n = recv(p->fd, b->data, CHUNK, 0);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return 0;
		b->off = 0;
		b->len = (size_t)n;
	}
	n = send(p->fd, b->data + b->off, b->len - b->off, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return 0;
	if (n > 0)
		b->off += (size_t)n;
	p->events = b->off < b->len ? POLLOUT : POLLIN;
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	struct rlimit rl;
	char *end = "";
	long port = argc > 1 ? strtol(argv[1], &end, 10) : 8080;
	int one = 1, fd, timeout;

	if (*end || port < 0 || port > 65535 || (argc > 1 && !*argv[1])) {
		fprintf(stderr, "[ERROR] no such port: %s\n", argv[1]);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	fds = calloc(1, sizeof(*fds));
	buffers = calloc(1, sizeof(*buffers));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!fds || !buffers || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(fd, 1000)) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		return 1;
	}
	fds[0].fd = fd;
	fds[0].events = POLLIN;
	printf("[INFO] Server listening on port %ld\n", port);
	fflush(stdout);

	for (;;) {
		timeout = fds[0].events ? -1 : 300;
		if (poll(fds, used, timeout) < 0) {
			if (errno == EINTR)
				continue;
			perror("[ERROR] poll");
			return 1;
		}
		/* Backwards, because drop() fills a gap with the last one. */
		for (size_t i = used - 1; i > 0; i--)
			if (fds[i].revents && !serve(&fds[i], buffers[i]))
				drop(i);
		fds[0].events = POLLIN;
		while ((fd = accept4(fds[0].fd, NULL, NULL, SOCK_NONBLOCK)) >=
		       0) {
			printf("[INFO] Client connected to server\n");
			fflush(stdout);
			if (add(fd) < 0)
				close(fd);
		}
		if (errno != EAGAIN && errno != EINTR)
			fds[0].events = 0; /* out of descriptors */
	}
}
