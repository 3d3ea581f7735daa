/*
 * Mistake: It has a thread for each client, where one thread with epoll is
 *   asked for.
 * Must fail: epoll/one_thread, epoll/listener, epoll/connections, epoll/waits
 * Says: threads in all
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void *client_thread(void *arg)
{
	int sock = (int)(intptr_t)arg;
	char buf[4096];
	ssize_t got, put, done;

	for (;;) {
		got = read(sock, buf, sizeof(buf));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		for (done = 0; done < got; done += put) {
			put = write(sock, buf + done, (size_t)(got - done));
			if (put < 0 && errno == EINTR)
				put = 0;
			if (put < 0)
				goto out;
		}
	}
out:
	close(sock);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct rlimit limit;
	pthread_attr_t attr;
	pthread_t thread;
	long port = 8080;
	char *end = "";
	int server, sock, on = 1;

	if (argc > 1)
		port = strtol(argv[1], &end, 10);
	if (*end || port < 0 || port > 65535 || (argc > 1 && !argv[1][0])) {
		fprintf(stderr, "[ERROR] Invalid port\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);

	server = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	addr.sin_port = htons((uint16_t)port);
	if (bind(server, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(server, 1024) < 0) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		return 1;
	}
	printf("[INFO] Server listening on port %ld\n", port);
	fflush(stdout);

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		sock = accept(server, NULL, NULL);
		if (sock < 0) {
			if (errno != EINTR)
				usleep(100000); /* no descriptor left */
			continue;
		}
		printf("[INFO] Client connected to server\n");
		fflush(stdout);
		if (pthread_create(&thread, &attr, client_thread,
				   (void *)(intptr_t)sock) != 0)
			close(sock);
	}
}
