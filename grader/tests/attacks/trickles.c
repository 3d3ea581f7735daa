/*
 * Answers rightly, one byte in five seconds, to keep the grader for ever. No
 * wait of the grader's is without an end.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int fd;
	char byte;

	contained();
	alarm(10 * LIFE_SECONDS);
	fd = accept(listen_on(port_asked_for(argc, argv), true), NULL, NULL);
	while (recv(fd, &byte, 1, 0) == 1 &&
	       send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
		nap(5000);
	return EXIT_FAILURE;
}
