/*
 * Mistake: It has places for ten clients, and tells the eleventh that it is
 *   full.
 * Must fail: concurrency/thousand, concurrency/burst, lifecycle/memory,
 *   resources/descriptor_limit, resources/few_descriptors
 * May fail: lifecycle/lifetime
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CLIENTS 10
#define LISTENER MAX_CLIENTS /* what its events say in place of a client */

struct {
	int sock; /* 0: this place is free */
	int start, end;
	char buff[10000];
} clients[MAX_CLIENTS];

int epoll_fd;
int listener;

void watch(int op, int sock, uint32_t events, uint32_t place)
{
	struct epoll_event event;

	event.events = events;
	event.data.u32 = place;
	epoll_ctl(epoll_fd, op, sock, &event);
}

void new_client(void)
{
	const char *sorry = "server is full\n";
	int i, sock;

	sock = accept(listener, NULL, NULL);
	if (sock < 0)
		return;
	for (i = 0; i < MAX_CLIENTS; i++)
		if (clients[i].sock == 0)
			break;
	if (i == MAX_CLIENTS) {
		send(sock, sorry, strlen(sorry), MSG_NOSIGNAL | MSG_DONTWAIT);
		close(sock);
		return;
	}
	fcntl(sock, F_SETFL, O_NONBLOCK);
	clients[i].sock = sock;
	clients[i].start = clients[i].end = 0;
	watch(EPOLL_CTL_ADD, sock, EPOLLIN, i);
	printf("[INFO] Client connected to server\n");
}

void client_gone(int i)
{
	close(clients[i].sock);
	clients[i].sock = 0;
	printf("[INFO] Client %d disconnected\n", i);
}

void client_ready(int i)
{
	int n;

	if (clients[i].start == clients[i].end) {
		n = recv(clients[i].sock, clients[i].buff,
			 sizeof(clients[i].buff), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			client_gone(i);
			return;
		}
		clients[i].start = 0;
		clients[i].end = n;
	}
	n = send(clients[i].sock, clients[i].buff + clients[i].start,
		 clients[i].end - clients[i].start, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		client_gone(i);
		return;
	}
	if (n > 0)
		clients[i].start += n;
	if (clients[i].start < clients[i].end)
		watch(EPOLL_CTL_MOD, clients[i].sock, EPOLLOUT, i);
	else
		watch(EPOLL_CTL_MOD, clients[i].sock, EPOLLIN, i);
}

void setup(int port)
{
	struct sockaddr_in address = {0};
	int yes = 1;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(int));
	fcntl(listener, F_SETFL, O_NONBLOCK);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = INADDR_ANY;
	address.sin_port = htons(port);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, MAX_CLIENTS) < 0) {
		perror("[ERROR] cannot listen");
		exit(1);
	}
	epoll_fd = epoll_create(MAX_CLIENTS + 1);
	watch(EPOLL_CTL_ADD, listener, EPOLLIN, LISTENER);
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
}

int main(int argc, char *argv[])
{
	struct epoll_event events[MAX_CLIENTS + 1];
	int port = 8080, i, n;
	char check[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1) {
		port = atoi(argv[1]);
		snprintf(check, sizeof(check), "%d", port);
		if (strcmp(check, argv[1]) || port < 0 || port > 65535) {
			fprintf(stderr, "[ERROR] bad port\n");
			return 1;
		}
	}
	setup(port);
	while (1) {
		n = epoll_wait(epoll_fd, events, MAX_CLIENTS + 1, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.u32 == LISTENER)
				new_client();
			else
				client_ready(events[i].data.u32);
		}
	}
}
