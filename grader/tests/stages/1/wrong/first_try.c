/*
 * Mistake: It makes several mistakes at once, as a first try does: words of its
 *   own, perror() instead of an [ERROR] line, atoi(), a NUL written behind a
 *   full buffer, and strlen() for the count.
 * Must fail: start/announces, start/bad_port, start/port_taken,
 *   echo/every_byte_value, memory/sanitizers
 * May fail: echo/large, echo/half_close
 */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in a = {.sin_family = AF_INET};

	signal(SIGPIPE, SIG_IGN);
	a.sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&a, sizeof(a)) < 0 || listen(fd, 5) < 0) {
		perror("bind");
		return 1;
	}
	printf("Server up\n");

	int c = accept(fd, NULL, NULL);
	char buf[100];
	int n;

	while ((n = read(c, buf, 100)) > 0) {
		buf[n] = 0;
		write(c, buf, strlen(buf));
	}
	printf("Bye\n");
	return 0;
}
