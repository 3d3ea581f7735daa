/*
 * Stage 2: listens on every port that the grader could choose for the client's
 * peer, and answers in its place. The peer was there first.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int mine = argc > 2 ? atoi(argv[2]) : 8080;
	struct rlimit most = {4096, 4096};
	int fd, got = 0;

	contained();
	setrlimit(RLIMIT_NOFILE, &most);
	for (int port = 20000; port < 23500; port++)
		got += listen_on(port, true) >= 0;
	if (listen_on(mine, true) >= 0)
		fprintf(stderr, "[INFO] it has the port of its peer\n");
	fprintf(stderr, "[ERROR] %d ports taken\n", got);
	fd = connect_to(mine);
	if (fd >= 0)
		write(fd, "not the line\n", 13);
	return EXIT_FAILURE;
}
