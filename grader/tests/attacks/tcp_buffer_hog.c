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
	size_t *totals = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t total = 0;

	contained();
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			totals[i] = fill(30000 + i, listen_on(30000 + i, true),
					 256 * MIB);
			for (;;)
				pause();
		}
	}
	nap(8000);
	for (int i = 0; i < 8; i++)
		total += totals[i];
	if (total > 1280 * MIB)
		breach("%zu MiB in connections", total / MIB);
	return EXIT_FAILURE;
}
