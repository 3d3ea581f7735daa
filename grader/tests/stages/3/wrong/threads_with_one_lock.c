/*
 * Mistake: It has a thread for each client, and holds the lock on the list of
 *   clients while it sends one of them its answer: when that one does not read,
 *   nobody else gets the lock.
 * Must fail: blocking/never_reads, epoll/one_thread, epoll/listener,
 *   epoll/connections
 * Says: sleeps in send() on the connection of the stalled client
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct client_s {
	int socket;
	unsigned long long bytes_echoed;
	struct client_s *prev, *next;
} client_t;

static pthread_mutex_t clients_mutex = PTHREAD_MUTEX_INITIALIZER;
static client_t clients = {.prev = &clients, .next = &clients};

static void add_client(client_t *client)
{
	pthread_mutex_lock(&clients_mutex);
	client->next = clients.next;
	client->prev = &clients;
	client->next->prev = client;
	clients.next = client;
	pthread_mutex_unlock(&clients_mutex);
}

static void remove_client(client_t *client)
{
	pthread_mutex_lock(&clients_mutex);
	client->prev->next = client->next;
	client->next->prev = client->prev;
	pthread_mutex_unlock(&clients_mutex);
	close(client->socket);
	free(client);
}

static int answer(client_t *client, const char *data, ssize_t length)
{
	ssize_t sent = 0, n = 0;

	pthread_mutex_lock(&clients_mutex);
	while (sent < length && n >= 0) {
		n = send(client->socket, data + sent, length - sent,
			 MSG_NOSIGNAL);
		sent += n;
	}
	client->bytes_echoed += sent;
	pthread_mutex_unlock(&clients_mutex);
	return n < 0 ? -1 : 0;
}

static void *client_thread(void *argument)
{
	client_t *client = argument;
	char data[4096];
	ssize_t length;

	while ((length = recv(client->socket, data, sizeof(data), 0)) > 0)
		if (answer(client, data, length) < 0)
			break;
	remove_client(client);
	return NULL;
}

static void start_client(int socket)
{
	client_t *client = calloc(1, sizeof(client_t));
	pthread_attr_t small;
	pthread_t thread;

	if (!client) {
		close(socket);
		return;
	}
	client->socket = socket;
	add_client(client);
	pthread_attr_init(&small);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN + 65536);
	if (pthread_create(&thread, &small, client_thread, client) != 0)
		remove_client(client);
	pthread_attr_destroy(&small);
}

static int listening_socket(uint16_t port)
{
	struct sockaddr_in any = {0};
	int on = 1, s = socket(PF_INET, SOCK_STREAM, IPPROTO_TCP);

	any.sin_family = AF_INET;
	any.sin_port = htons(port);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    listen(s, 1024) != 0) {
		perror("[ERROR] listening_socket");
		exit(EXIT_FAILURE);
	}
	return s;
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : "8080";
	char *end;
	long port = strtol(text, &end, 10);
	struct rlimit files;
	int s, client;

	setlinebuf(stdout);
	if (*text == '\0' || *end != '\0' || port < 0 || port > 65535) {
		fprintf(stderr, "[ERROR] not a port: '%s'\n", text);
		return EXIT_FAILURE;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	s = listening_socket((uint16_t)port);
	printf("[INFO] Server listening on port %ld\n", port);
	while (1) {
		client = accept(s, NULL, NULL);
		if (client >= 0) {
			puts("[INFO] Client connected to server");
			start_client(client);
		} else if (errno == EMFILE || errno == ENFILE) {
			usleep(200000);
		}
	}
}
