/* Right, but unusual: everything is in main(), and lines are read with stdio.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int listen_sock_fd = socket(AF_INET, SOCK_STREAM, 0);
	char *line = NULL;
	size_t size = 0;

	signal(SIGPIPE, SIG_IGN);
	address.sin_port = htons((uint16_t)atoi(argv[argc - 1]));
	if (bind(listen_sock_fd, (struct sockaddr *)&address, sizeof(address)) <
		    0 ||
	    listen(listen_sock_fd, 10) < 0)
		return EXIT_FAILURE;
	for (;;) {
		int conn_sock_fd = accept(listen_sock_fd, NULL, NULL);
		FILE *input = fdopen(conn_sock_fd, "r");
		FILE *output = fdopen(dup(conn_sock_fd), "w");
		ssize_t length;

		if (!input || !output)
			return EXIT_FAILURE;
		while ((length = getline(&line, &size, input)) > 0) {
			for (ssize_t i = length - 2; i >= 0; i--)
				putc(line[i], output);
			putc('\n', output);
			fflush(output);
		}
		fclose(output);
		fclose(input);
	}
}
