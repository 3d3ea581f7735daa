/*
 * Mistake: It has a process for each client, where one process with epoll is
 *   asked for.
 * Must fail: epoll/one_thread, epoll/listener, epoll/connections, epoll/waits
 * May fail: concurrency/thousand, lifecycle/memory
 * Says: processes with
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *why)
{
	fprintf(stderr, "[ERROR] %s: %s\n", why, strerror(errno));
	exit(1);
}

static void child(int fd)
{
	char buf[8192], *p;
	ssize_t n, m;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	while ((n = recv(fd, buf, sizeof(buf), 0)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			_exit(1);
		for (p = buf; n > 0; p += m, n -= m) {
			m = send(fd, p, (size_t)n, MSG_NOSIGNAL);
			if (m < 0 && errno == EINTR)
				m = 0;
			if (m < 0)
				_exit(1);
		}
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : "8080";
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct rlimit rl;
	int lfd, fd, on = 1;
	long port;
	char *end;
	pid_t pid;

	port = strtol(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || port > 65535) {
		errno = EINVAL;
		fail("port");
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGCHLD, SIG_IGN); /* no zombies */

	if ((lfd = socket(AF_INET, SOCK_STREAM, 0)) < 0)
		fail("socket");
	setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	addr.sin_port = htons((unsigned short)port);
	if (bind(lfd, (void *)&addr, sizeof(addr)) < 0)
		fail("bind");
	if (listen(lfd, SOMAXCONN) < 0)
		fail("listen");
	printf("[INFO] Server listening on port %ld\n", port);
	fflush(stdout);

	for (;;) {
		fd = accept(lfd, NULL, NULL);
		if (fd < 0) {
			if (errno != EINTR && errno != ECONNABORTED)
				usleep(200000);
			continue;
		}
		printf("[INFO] Client connected to server\n");
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			close(lfd);
			child(fd);
		}
		if (pid < 0)
			fprintf(stderr, "[ERROR] fork\n");
		close(fd);
	}
}
