/*
 * Mistake: It uses select(), where epoll is asked for.
 * Must fail: concurrency/thousand, concurrency/burst, epoll/listener,
 *   epoll/connections, epoll/waits
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 4096

static fd_set readers, writers; /* a client is in one of the two */
static char *data[FD_SETSIZE];
static ssize_t length[FD_SETSIZE], position[FD_SETSIZE];

static void leave(int fd)
{
	FD_CLR(fd, &readers);
	FD_CLR(fd, &writers);
	close(fd);
	free(data[fd]);
	data[fd] = NULL;
}

static void enter(int fd)
{
	if (fd >= FD_SETSIZE || !(data[fd] = malloc(SIZE))) {
		close(fd); /* select() cannot watch it */
		return;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	FD_SET(fd, &readers);
	puts("[INFO] Client connected to server");
	fflush(stdout);
}

static void turn(int fd)
{
	ssize_t n;

	if (FD_ISSET(fd, &readers)) {
		n = recv(fd, data[fd], SIZE, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			leave(fd);
			return;
		}
		length[fd] = n;
		position[fd] = 0;
	}
	n = send(fd, data[fd] + position[fd],
		 (size_t)(length[fd] - position[fd]), MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		leave(fd);
		return;
	}
	position[fd] += n > 0 ? n : 0;
	if (position[fd] < length[fd]) {
		FD_CLR(fd, &readers);
		FD_SET(fd, &writers);
	} else {
		FD_CLR(fd, &writers);
		FD_SET(fd, &readers);
	}
}

int main(int argc, char *argv[])
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct timeval pause, *timeout = NULL;
	struct rlimit limit;
	fd_set r, w;
	char *end = "";
	long port = argc > 1 ? strtol(argv[1], &end, 10) : 8080;
	int door, fd, on = 1;

	if (*end || port < 0 || port > 65535 || (argc > 1 && !*argv[1])) {
		fputs("[ERROR] Usage: tcp_server [PORT]\n", stderr);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	door = socket(AF_INET, SOCK_STREAM, 0);
	fcntl(door, F_SETFL, O_NONBLOCK);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	addr.sin_port = htons((unsigned short)port);
	if (bind(door, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    listen(door, 256) != 0) {
		fprintf(stderr, "[ERROR] port %ld: %s\n", port,
			strerror(errno));
		return 1;
	}
	printf("[INFO] Server listening on port %ld\n", port);
	fflush(stdout);

	for (;;) {
		FD_SET(door, &readers);
		if (timeout)
			FD_CLR(door, &readers); /* out of descriptors */
		r = readers;
		w = writers;
		pause = (struct timeval){.tv_usec = 300000};
		if (select(FD_SETSIZE, &r, &w, NULL, timeout) < 0) {
			if (errno == EINTR)
				continue;
			perror("[ERROR] select");
			return 1;
		}
		for (fd = 0; fd < FD_SETSIZE; fd++)
			if (fd != door &&
			    (FD_ISSET(fd, &r) || FD_ISSET(fd, &w)))
				turn(fd);
		timeout = NULL;
		while ((fd = accept(door, NULL, NULL)) >= 0)
			enter(fd);
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			timeout = &pause;
	}
}
