/*
 * Mistake: A pool of threads serves the clients, each thread one at a time,
 *   waiting for it; the epoll instance beside it watches nothing.
 * Must fail: concurrency/thousand, concurrency/burst, lifecycle/memory,
 *   resources/descriptor_limit, epoll/one_thread, epoll/listener,
 *   epoll/connections, epoll/waits
 * May fail: lifecycle/lifetime
 * Says: watches nothing
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS 32

/* The clients that no worker has taken yet. */
struct job {
	int sock;
	struct job *next;
};

static struct job *first, **last = &first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;

static void put_job(int sock)
{
	struct job *job = malloc(sizeof(*job));

	if (!job) {
		close(sock);
		return;
	}
	job->sock = sock;
	job->next = NULL;
	pthread_mutex_lock(&lock);
	*last = job;
	last = &job->next;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
}

static int get_job(void)
{
	struct job *job;
	int sock;

	pthread_mutex_lock(&lock);
	while (!first)
		pthread_cond_wait(&more, &lock);
	job = first;
	first = job->next;
	if (!first)
		last = &first;
	pthread_mutex_unlock(&lock);
	sock = job->sock;
	free(job);
	return sock;
}

static void echo(int sock)
{
	char buf[8192];
	ssize_t got, put, n;

	while ((got = read(sock, buf, sizeof(buf))) > 0)
		for (put = 0; put < got; put += n)
			if ((n = write(sock, buf + put, got - put)) <= 0)
				return;
}

static void *worker(void *arg)
{
	(void)arg;
	for (;;) {
		int sock = get_job();

		echo(sock);
		close(sock);
	}
	return NULL;
}

int main(int argc, char *argv[])
{
	struct sockaddr_in me = {.sin_family = AF_INET};
	pthread_t thread;
	struct rlimit limit;
	int server, sock, epoll_fd, i, yes = 1, port = 8080;
	char extra;

	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && (sscanf(argv[1], "%5d%c", &port, &extra) != 1 ||
			 port < 0 || port > 65535)) {
		fprintf(stderr, "[ERROR] %s is not a port\n", argv[1]);
		return 1;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	server = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	me.sin_port = htons(port);
	if (bind(server, (struct sockaddr *)&me, sizeof(me)) ||
	    listen(server, 300)) {
		fprintf(stderr, "[ERROR] %s\n", strerror(errno));
		return 1;
	}
	epoll_fd = epoll_create1(0);
	if (epoll_fd < 0)
		return 1;
	for (i = 0; i < WORKERS; i++)
		pthread_create(&thread, NULL, worker, NULL);
	printf("[INFO] Server listening on port %d\n", port);

	for (;;) {
		sock = accept(server, NULL, NULL);
		if (sock < 0) {
			if (errno == EMFILE) /* somebody may leave */
				sleep(1);
			continue;
		}
		printf("[INFO] Client connected to server\n");
		put_job(sock);
	}
}
