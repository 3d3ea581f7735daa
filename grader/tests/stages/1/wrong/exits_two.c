/*
 * Mistake: It exits with status 2 on errors, as compilers and grep do.
 * Must fail: start/bad_port, start/port_taken
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	FILE *to = strcmp(level, "ERROR") ? stdout : stderr;

	fprintf(to, "[%s] ", level);
	vfprintf(to, format, args);
	fprintf(to, "\n");
	fflush(to);
	va_end(args);
}

static int port_of(const char *text)
{
	char *rest;
	long value = strtol(text, &rest, 10);

	return rest == text || *rest || value < 0 || value > 65535 ? -1 : value;
}

static int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port)};
	int sock = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)) == -1)
		return -1;
	return listen(sock, 5) == -1 ? -1 : sock;
}

static void echo(int client)
{
	char buffer[8192];
	ssize_t got, sent, n;

	while ((got = recv(client, buffer, sizeof(buffer), 0)) > 0)
		for (sent = 0; sent < got; sent += n) {
			n = send(client, buffer + sent, got - sent, MSG_NOSIGNAL);
			if (n == -1)
				return;
		}
}

int main(int argc, char *argv[])
{
	int port = argc == 2 ? port_of(argv[1]) : 8080;
	int server, client;

	if (port == -1) {
		say("ERROR", "not a port: %s", argv[1]);
		return 2;
	}
	server = listen_on(port);
	if (server == -1) {
		say("ERROR", "port %d: %s", port, strerror(errno));
		return 2;
	}
	say("INFO", "Server listening on port %d", port);
	client = accept(server, NULL, NULL);
	if (client == -1) {
		say("ERROR", "accept: %s", strerror(errno));
		return 2;
	}
	say("INFO", "Client connected to server");
	echo(client);
	say("INFO", "Client disconnected");
	close(client);
	close(server);
	return 0;
}
