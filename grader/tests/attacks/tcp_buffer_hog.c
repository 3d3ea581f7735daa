/*
 * Leaves up to 2 GiB unread in connections to itself, which is memory of the
 * kernel's. The guard ends it.
 */
#include "contained.h"

static size_t fill(int port, int listener, size_t most)
{
	static char data[65536];
	size_t total = 0;

	while (total < most) {
		int fd = connect_to(port);
		ssize_t count;

		if (fd < 0 || accept(listener, NULL, NULL) < 0)
			break;
		while ((count = send(fd, data, sizeof(data),
				     MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
			total += (size_t)count;
	}
	return total;
}

int main(void)
{
	size_t total;
	int ends[2];

	contained();
	open_pipe(ends);
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			tell(ends, fill(30000 + i, listen_on(30000 + i, true),
					256 * MIB));
			for (;;)
				pause();
		}
	}
	total = told(ends, 8);
	nap(10000); /* on a busy machine the guard is late */
	if (total > 1280 * MIB)
		breach("%zu MiB in connections", total / MIB);
	return EXIT_FAILURE;
}
