/*
 * Answers as it should, and at the end of its input sends 3 GiB that nobody has
 * typed, for the grader to keep.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	static char line[1 << 17], flood[1 << 18];
	int fd;

	contained();
	fd = connect_to(argc > 2 ? atoi(argv[2]) : 8080);
	while (fd >= 0 && fgets(line, sizeof(line), stdin)) {
		ssize_t count = send(fd, line, strlen(line), MSG_NOSIGNAL);

		count = recv(fd, line, (size_t)count, MSG_WAITALL);
		fwrite(line, 1, (size_t)count, stdout);
	}
	fflush(stdout);
	for (int i = 0; fd >= 0 && i < 3 << 12; i++)
		if (send(fd, flood, sizeof(flood), MSG_NOSIGNAL) < 0)
			break;
	return EXIT_SUCCESS;
}
