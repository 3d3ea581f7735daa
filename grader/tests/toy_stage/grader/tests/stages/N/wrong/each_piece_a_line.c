/*
 * Mistake: It takes what one recv() returns for one line.
 * Must fail: reversal/pieces
 * Says: What does your server do with half a line
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void reverse(char *line, ssize_t length)
{
	for (ssize_t i = 0; i < length / 2; i++) {
		char first = line[i];

		line[i] = line[length - 1 - i];
		line[length - 1 - i] = first;
	}
}

int main(int argc, char *argv[])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int listen_sock_fd = socket(AF_INET, SOCK_STREAM, 0);
	char buffer[1024];

	address.sin_port = htons((uint16_t)atoi(argv[argc - 1]));
	if (bind(listen_sock_fd, (struct sockaddr *)&address, sizeof(address)) <
		    0 ||
	    listen(listen_sock_fd, 10) < 0)
		return EXIT_FAILURE;
	for (;;) {
		int client = accept(listen_sock_fd, NULL, NULL);
		ssize_t count;

		while ((count = recv(client, buffer, sizeof(buffer), 0)) > 0) {
			reverse(buffer, count - 1);
			send(client, buffer, (size_t)count, MSG_NOSIGNAL);
		}
		close(client);
	}
}
