/*
 * Mistake: It closes a connection at once when the client leaves, and once more
 *   after it has handled all events. By then the descriptor can belong to a new
 *   client; the time that each message takes it makes this more likely.
 * Must fail: lifecycle/clean_close, lifecycle/reset
 * May fail: lifecycle/unread_answers, lifecycle/descriptors, lifecycle/memory,
 *   lifecycle/lifetime, concurrency/any_order, resources/few_descriptors,
 *   resources/sanitizers
 * Says: the server closed the connection
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
#include <time.h>
#include <unistd.h>

#define EVENTS 100

struct guest {
	int fd;
	int gone;
	char *todo; /* what is still to be sent, up to end */
	char *end;
	char text[60000];
};

struct inn {
	int epoll;
	int door;
	int crowded; /* no descriptor is left: the door is not watched */
	struct guest *leaving[EVENTS];
	int leaving_count;
};

static int control(struct inn *inn, int op, int fd, uint32_t what, void *who)
{
	struct epoll_event event;

	event.events = what;
	event.data.ptr = who;
	return epoll_ctl(inn->epoll, op, fd, &event);
}

static void check_out(struct inn *inn, struct guest *g)
{
	g->gone = 1;
	close(g->fd);
	inn->leaving[inn->leaving_count++] = g;
}

static void clean_up(struct inn *inn)
{
	while (inn->leaving_count > 0) {
		struct guest *g = inn->leaving[--inn->leaving_count];

		close(g->fd);
		free(g);
	}
}

static void check_in(struct inn *inn)
{
	struct guest *g;
	int fd;

	for (;;) {
		fd = accept4(inn->door, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0)
			break;
		g = malloc(sizeof(struct guest));
		if (g == NULL) {
			close(fd);
			return;
		}
		g->fd = fd;
		g->gone = 0;
		g->todo = g->end = g->text;
		if (control(inn, EPOLL_CTL_ADD, fd, EPOLLIN, g) < 0) {
			close(fd);
			free(g);
			return;
		}
		printf("[INFO] Client connected to server\n");
	}
	if (errno == EMFILE || errno == ENFILE) {
		control(inn, EPOLL_CTL_DEL, inn->door, 0, NULL);
		inn->crowded = 1;
	}
}

/* What it does with a message: that takes three milliseconds. */
static void work(void)
{
	clock_t end = clock() + 3 * CLOCKS_PER_SEC / 1000;

	while (clock() < end)
		;
}

static void attend(struct inn *inn, struct guest *g)
{
	ssize_t n;

	if (g->todo == g->end) {
		n = recv(g->fd, g->text, sizeof(g->text), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			check_out(inn, g);
			return;
		}
		work();
		g->todo = g->text;
		g->end = g->text + n;
	}
	n = send(g->fd, g->todo, g->end - g->todo, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		check_out(inn, g);
		return;
	}
	if (n > 0)
		g->todo += n;
	control(inn, EPOLL_CTL_MOD, g->fd,
		g->todo == g->end ? EPOLLIN : EPOLLOUT, g);
}

static int open_inn(struct inn *inn, int port)
{
	struct sockaddr_in where;
	int on = 1;

	memset(&where, 0, sizeof(where));
	where.sin_family = AF_INET;
	where.sin_port = htons(port);
	where.sin_addr.s_addr = htonl(INADDR_ANY);
	inn->door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (inn->door < 0 ||
	    setsockopt(inn->door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		return -1;
	if (bind(inn->door, (struct sockaddr *)&where, sizeof(where)))
		return -1;
	if (listen(inn->door, 1000))
		return -1;
	inn->epoll = epoll_create1(0);
	return control(inn, EPOLL_CTL_ADD, inn->door, EPOLLIN, NULL);
}

int main(int argc, char **argv)
{
	struct inn inn = {.crowded = 0};
	struct epoll_event events[EVENTS];
	struct rlimit limit;
	char *end;
	long port = 8080;

	setlinebuf(stdout);
	if (argc > 1) {
		port = strtol(argv[1], &end, 10);
		if (end == argv[1] || *end || port < 0 || port > 65535) {
			fprintf(stderr, "[ERROR] bad port %s\n", argv[1]);
			return 1;
		}
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (open_inn(&inn, (int)port) < 0) {
		perror("[ERROR] cannot open");
		return 1;
	}
	printf("[INFO] Server listening on port %ld\n", port);

	while (1) {
		int n = epoll_wait(inn.epoll, events, EVENTS,
				   inn.crowded ? 250 : -1);

		if (inn.crowded)
			control(&inn, EPOLL_CTL_ADD, inn.door, EPOLLIN, NULL);
		inn.crowded = 0;
		for (int i = 0; i < n; i++) {
			struct guest *g = events[i].data.ptr;

			if (g == NULL)
				check_in(&inn);
			else if (!g->gone)
				attend(&inn, g);
		}
		clean_up(&inn);
	}
}
