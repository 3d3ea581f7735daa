/*
 * Prints up to 1 GiB on standard output. The grader keeps both ends of it, and
 * ends the program when it has printed 256 MiB.
 */
#include "contained.h"

int main(void)
{
	static char data[MIB];

	contained();
	memset(data, 'x', sizeof(data));
	for (size_t total = 0; total < 1024 * MIB;) {
		ssize_t count = write(STDOUT_FILENO, data, sizeof(data));

		if (count < 0)
			return EXIT_FAILURE;
		total += (size_t)count;
	}
	breach("1 GiB on standard output");
}
