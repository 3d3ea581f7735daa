/*
 * Right, but unusual: everything in a short main(), with a macro for errors
 * and few checks beside those that are needed.
 */
#include <netinet/in.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIE(what)                                                             \
	do {                                                                  \
		fprintf(stderr, "[ERROR] %s: %s\n", what, strerror(errno));    \
		exit(EXIT_FAILURE);                                           \
	} while (0)

int main(int argc, char *argv[])
{
	struct sockaddr_in addr;
	int server_fd, client_fd, opt = 1;
	char buffer[4096] = {0};
	char *end;
	long port = 8080;
	ssize_t bytes, done, part;

	signal(SIGPIPE, SIG_IGN);
	setlinebuf(stdout);
	if (argc > 1) {
		errno = EINVAL;
		port = strtol(argv[1], &end, 10);
		if (end == argv[1] || *end != '\0' || port < 0 || port > 65535)
			DIE(argv[1]);
	}

	server_fd = socket(AF_INET, SOCK_STREAM, 0);
	if (server_fd < 0)
		DIE("socket");
	setsockopt(server_fd, SOL_SOCKET, SO_REUSEADDR, &opt, sizeof(opt));
	memset(&addr, 0, sizeof(addr));
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = INADDR_ANY;
	addr.sin_port = htons(port);
	if (bind(server_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		DIE("bind");
	if (listen(server_fd, 5) < 0)
		DIE("listen");
	printf("[INFO] Server listening on port %ld\n", port);

	client_fd = accept(server_fd, NULL, NULL);
	if (client_fd < 0)
		DIE("accept");
	printf("[INFO] Client connected to server\n");
	while ((bytes = read(client_fd, buffer, sizeof(buffer))) > 0)
		for (done = 0; done < bytes; done += part) {
			part = write(client_fd, buffer + done, bytes - done);
			if (part < 0)
				break;
		}
	printf("[INFO] Client disconnected\n");
	close(client_fd);
	close(server_fd);
	return 0;
}
