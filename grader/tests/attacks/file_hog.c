/*
 * Makes a million empty files: they take no room in /tmp, but memory of the
 * kernel's.
 */
#include "contained.h"

int main(void)
{
	char name[64];
	int count = 0;

	contained();
	for (; count < 1000000; count++) {
		int fd;

		snprintf(name, sizeof(name), "/tmp/%d", count);
		fd = open(name, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			break;
		close(fd);
		if (count > 100000)
			breach("%d empty files", count);
	}
	return EXIT_FAILURE;
}
