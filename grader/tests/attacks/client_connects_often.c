/*
 * Stage 2: opens 500 connections to its peer, and some to others, before it
 * says anything. The peer takes the first, and has no time for the rest.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int port = argc > 2 ? atoi(argv[2]) : 8080;
	char line[100];

	contained();
	for (int other = 1; other < 1024; other++)
		if (connect_to(other) >= 0)
			breach("connected to port %d", other);
	for (int i = 0; i < 500; i++)
		connect_to(port);
	if (read(STDIN_FILENO, line, sizeof(line)) < 0)
		return EXIT_FAILURE;
	for (int i = 0; i < 20; i++)
		nap(1000);
	return EXIT_FAILURE;
}
