/*
 * Stage 2: what should be the server's answer is commands to a CI's runner and
 * to the terminal. The lesson quotes them.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int fd;

	contained();
	fd = connect_to(argc > 2 ? atoi(argv[2]) : 8080);
	printf("::error::forged\n##[error]forged\n\x1b]0;title\a\r::x::\n");
	fflush(stdout);
	fprintf(stderr, "::error::forged\n\x1b[2J##[error]forged\n");
	if (fd >= 0)
		echo(fd);
	return EXIT_SUCCESS;
}
