/* Right, but unusual: it prints a line for each event, and each message. */
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

#define BUF 8192

struct client {
	char *buf; /* NULL: nobody has this descriptor */
	int len;   /* bytes in buf */
	int off;   /* how many of them have been sent */
};

int main(int argc, char **argv)
{
	struct sockaddr_in addr;
	struct epoll_event ev, evs[128];
	struct client *table = NULL, *c;
	struct rlimit rl;
	int size = 0, port = 8080, on = 1, listening = 1;
	int lfd, ep, fd, n, i, wait_ms;
	char *rest;

	setlinebuf(stdout);
	if (argc > 1) {
		port = strtol(argv[1], &rest, 10);
		if (argv[1][0] < '0' || argv[1][0] > '9' || *rest ||
		    strlen(argv[1]) > 5 || port > 65535) {
			fprintf(stderr, "[ERROR] bad port\n");
			exit(1);
		}
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}

	lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	memset(&addr, 0, sizeof addr);
	addr.sin_family = AF_INET;
	addr.sin_port = htons(port);
	addr.sin_addr.s_addr = INADDR_ANY;
	setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(lfd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		perror("[ERROR] bind");
		exit(1);
	}
	if (listen(lfd, 1024) < 0) {
		perror("[ERROR] listen");
		exit(1);
	}
	ep = epoll_create(1);
	ev.events = EPOLLIN;
	ev.data.fd = lfd;
	epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
	printf("[INFO] Server listening on port %d\n", port);

	while (1) {
		wait_ms = listening ? -1 : 250;
		n = epoll_wait(ep, evs, 128, wait_ms);
		if (n < 0 && errno != EINTR) {
			perror("[ERROR] epoll_wait");
			exit(1);
		}
		if (!listening) {
			/* perhaps there are descriptors again */
			ev.events = EPOLLIN;
			ev.data.fd = lfd;
			epoll_ctl(ep, EPOLL_CTL_MOD, lfd, &ev);
			listening = 1;
		}
		for (i = 0; i < n; i++) {
			printf("[INFO] event %#x on descriptor %d\n",
			       evs[i].events, evs[i].data.fd);
			if (evs[i].data.fd == lfd) {
				fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK);
				if (fd < 0 &&
				    (errno == EMFILE || errno == ENFILE ||
				     errno == ENOBUFS || errno == ENOMEM)) {
					ev.events = 0;
					ev.data.fd = lfd;
					epoll_ctl(ep, EPOLL_CTL_MOD, lfd, &ev);
					listening = 0;
				}
				if (fd < 0)
					continue;
				if (fd >= size) {
					c = realloc(table,
						    (fd + 64) * sizeof *c);
					if (!c) {
						close(fd);
						continue;
					}
					table = c;
					memset(table + size, 0,
					       (fd + 64 - size) * sizeof *c);
					size = fd + 64;
				}
				c = &table[fd];
				c->len = c->off = 0;
				c->buf = malloc(BUF);
				ev.events = EPOLLIN;
				ev.data.fd = fd;
				if (!c->buf ||
				    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
					free(c->buf);
					c->buf = NULL;
					close(fd);
					continue;
				}
				printf("[INFO] Client connected to server\n");
				continue;
			}

			/* a client: read when the last answer is out, else
			 * write */
			fd = evs[i].data.fd;
			c = &table[fd];
			if (c->off == c->len) {
				c->off = c->len = 0;
				c->len = recv(fd, c->buf, BUF, 0);
				if (c->len < 0 &&
				    (errno == EAGAIN || errno == EINTR)) {
					c->len = 0;
					continue;
				}
				if (c->len <= 0)
					goto gone;
				printf("[INFO] %d bytes from %d: \"%.*s\"\n",
				       c->len, fd, c->len < 20 ? c->len : 20,
				       c->buf);
			}
			while (c->off < c->len) {
				int m = send(fd, c->buf + c->off,
					     c->len - c->off, MSG_NOSIGNAL);
				if (m < 0 && errno == EAGAIN)
					break;
				if (m < 0 && errno != EINTR)
					goto gone;
				if (m > 0)
					c->off += m;
				printf("[INFO] %d of %d bytes sent to %d\n",
				       c->off, c->len, fd);
			}
			ev.events = c->off < c->len ? EPOLLOUT : EPOLLIN;
			ev.data.fd = fd;
			epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
			continue;
		gone:
			epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
			close(fd);
			free(c->buf);
			c->buf = NULL;
			printf("[INFO] Client %d left\n", fd);
		}
	}
}
