/*
 * Makes half a million empty files behind a child that has ended and that
 * nobody waits for: the last of its processes sees no /tmp any more.
 */
#include "contained.h"

int main(void)
{
	char name[64];

	contained();
	if (fork() == 0)
		_exit(EXIT_SUCCESS);
	nap(50);
	for (int count = 0; count < 500000; count++) {
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
