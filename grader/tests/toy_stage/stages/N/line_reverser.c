/*
 * Stage N: a TCP server that sends back each line reversed.
 *
 *     ./line_reverser PORT
 *
 * The functions below are yours to write; line_reverser.h says what each has to
 * do, README.md how to get there.
 */
#include "line_reverser.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int create_server(int port)
{
	/* Yours to write: socket(2), setsockopt(2), bind(2), listen(2). */
	(void)port;
	errno = ENOSYS;
	return -1;
}

void reverse_line(char *line, size_t length)
{
	/* Yours to write. */
	(void)line;
	(void)length;
}

int main(void)
{
	/* Yours to write: put the pieces together. */
	fprintf(stderr, "main() is still to be written: %s\n",
		strerror(ENOSYS));
	return EXIT_FAILURE;
}
