/*
 * Mistake: main() starts a second thread for the loop, and only waits for it.
 * Must fail: epoll/one_thread, epoll/waits
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
	int sock;
	size_t from, to;
	char data[4096];
} Client;

static int epfd;
static int listener;
static int starved; /* accept() found no descriptor; it is tried again */

static void nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void on_listener(void)
{
	starved = 0;
	for (;;) {
		struct epoll_event ev = {.events =
						 EPOLLIN | EPOLLOUT | EPOLLET};
		int sock = accept(listener, NULL, NULL);
		Client *client;

		if (sock < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (sock < 0) {
			starved = errno != EAGAIN;
			return;
		}
		nonblocking(sock);
		client = malloc(sizeof(Client));
		if (client == NULL) {
			close(sock);
			continue;
		}
		client->sock = sock;
		client->from = client->to = 0;
		ev.data.ptr = client;
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, sock, &ev) < 0) {
			free(client);
			close(sock);
			continue;
		}
		puts("[INFO] Client connected to server");
		fflush(stdout);
	}
}

/* Goes on until the kernel says EAGAIN; false when the client has left. */
static int on_client(Client *c)
{
	ssize_t n;

	for (;;) {
		while (c->from < c->to) {
			n = write(c->sock, c->data + c->from, c->to - c->from);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return errno == EAGAIN;
			c->from += n;
		}
		n = read(c->sock, c->data, sizeof(c->data));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return 0;
		c->from = 0;
		c->to = n;
	}
}

static int listen_on(long port)
{
	struct sockaddr_in any = {AF_INET, htons(port), {INADDR_ANY}, {0}};
	int sock = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(sock, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    listen(sock, SOMAXCONN) != 0) {
		fprintf(stderr, "[ERROR] port %ld cannot be had\n", port);
		exit(EXIT_FAILURE);
	}
	nonblocking(sock);
	return sock;
}

static void *run(void *unused)
{
	struct epoll_event got[256];

	(void)unused;
	for (;;) {
		int n = epoll_wait(epfd, got, 256, starved ? 300 : -1);

		if (n < 0 && errno != EINTR)
			err(EXIT_FAILURE, "[ERROR] epoll_wait");
		for (int i = 0; i < n; i++) {
			Client *c = got[i].data.ptr;

			if (c == NULL) {
				on_listener();
			} else if (!on_client(c)) {
				close(c->sock);
				free(c);
			}
		}
		if (starved)
			on_listener();
	}
}

int main(int argc, char *argv[])
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct rlimit files;
	long port = 8080;
	char *end = "";
	pthread_t thread;

	if (argc >= 2)
		port = strtol(argv[1], &end, 10);
	if (*end != '\0' || port < 0 || port > 65535 ||
	    (argc >= 2 && argv[1][0] == '\0')) {
		fprintf(stderr, "[ERROR] usage: %s [PORT]\n", argv[0]);
		return EXIT_FAILURE;
	}
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);

	listener = listen_on(port);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.ptr = NULL;
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev);
	printf("[INFO] Server listening on port %ld\n", port);
	fflush(stdout);

	pthread_create(&thread, NULL, run, NULL);
	pthread_join(thread, NULL);
	return EXIT_SUCCESS;
}
