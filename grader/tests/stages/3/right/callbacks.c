/*
 * Right, but unusual: the loop knows nothing of sockets: each event carries a
 * watcher, and a watcher carries the function to call.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct watcher watcher;
struct watcher {
	void (*ready)(watcher *self);
	int fd;
};

typedef struct {
	watcher base; /* first, so that a watcher is an echo */
	char *next, *end;
	char bytes[32768];
} echo;

static int loop;
static watcher *resting; /* a watcher that is tried again after a while */

static int watch(int op, watcher *w, uint32_t events)
{
	return epoll_ctl(loop, op, w->fd,
			 &(struct epoll_event){events, {.ptr = w}});
}

static void finish(echo *e)
{
	watch(EPOLL_CTL_DEL, &e->base, 0);
	close(e->base.fd);
	free(e);
}

static void on_readable(watcher *self);

static void on_writable(watcher *self)
{
	echo *e = (echo *)self;
	ssize_t n = write(self->fd, e->next, (size_t)(e->end - e->next));

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		finish(e);
		return;
	}
	e->next += n > 0 ? n : 0;
	if (e->next == e->end && self->ready == on_writable) {
		self->ready = on_readable;
		watch(EPOLL_CTL_MOD, self, EPOLLIN);
	} else if (e->next < e->end && self->ready == on_readable) {
		self->ready = on_writable;
		watch(EPOLL_CTL_MOD, self, EPOLLOUT);
	}
}

static void on_readable(watcher *self)
{
	echo *e = (echo *)self;
	ssize_t n = read(self->fd, e->bytes, sizeof(e->bytes));

	if (n > 0) {
		e->next = e->bytes;
		e->end = e->bytes + n;
		on_writable(self);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		finish(e);
	}
}

static void on_connection(watcher *self)
{
	int fd = accept(self->fd, NULL, NULL);
	echo *e;

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR &&
		    errno != ECONNABORTED) {
			watch(EPOLL_CTL_DEL, self, 0);
			resting = self;
		}
		return;
	}
	e = malloc(sizeof(*e));
	if (!e) {
		close(fd);
		return;
	}
	e->base = (watcher){on_readable, fd};
	e->next = e->end = e->bytes;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (watch(EPOLL_CTL_ADD, &e->base, EPOLLIN) < 0) {
		finish(e);
		return;
	}
	printf("[INFO] Client connected to server\n");
}

static int listen_on(const char *text)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	char *end;
	long port = strtol(text, &end, 10);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	any.sin_port = htons((in_port_t)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (strspn(text, "0123456789") == 0 || *end || port > 65535)
		errno = EINVAL;
	else if (!bind(fd, (struct sockaddr *)&any, sizeof(any)) &&
		 !listen(fd, 200) && !fcntl(fd, F_SETFL, O_NONBLOCK)) {
		printf("[INFO] Server listening on port %ld\n", port);
		return fd;
	}
	fprintf(stderr, "[ERROR] cannot listen on port \"%s\": %s\n", text,
		strerror(errno));
	exit(EXIT_FAILURE);
}

int main(int argc, char *argv[])
{
	struct rlimit limit;
	watcher door = {on_connection, -1};

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	loop = epoll_create1(EPOLL_CLOEXEC);
	door.fd = listen_on(argc > 1 ? argv[1] : "8080");
	watch(EPOLL_CTL_ADD, &door, EPOLLIN);

	for (;;) {
		watcher *again = resting;
		struct epoll_event events[16];
		int n = epoll_wait(loop, events, 16, again ? 150 : -1);

		assert(n >= 0 || errno == EINTR);
		for (int i = 0; i < n; i++) {
			watcher *w = events[i].data.ptr;

			w->ready(w);
		}
		if (again) {
			resting = NULL;
			watch(EPOLL_CTL_ADD, again, EPOLLIN);
		}
	}
}
