/*
 * Leaves up to 2 GiB unread in sockets, where it is the kernel's memory and not a
 * process's. The guard counts sockets.
 */
#include "contained.h"

static size_t fill(size_t most)
{
	static char data[65536];
	size_t total = 0;
	int pair[2];

	while (total < most &&
	       socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0) {
		for (int end = 0; end < 2; end++) {
			int wanted = 1 << 20;
			ssize_t count;

			setsockopt(pair[end], SOL_SOCKET, SO_SNDBUF, &wanted,
				   sizeof(wanted));
			while ((count = send(pair[end], data, sizeof(data),
					     MSG_NOSIGNAL)) > 0)
				total += (size_t)count;
		}
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
			totals[i] = fill(256 * MIB);
			for (;;)
				pause();
		}
	}
	nap(5000);
	for (int i = 0; i < 8; i++)
		total += totals[i];
	if (total > 1280 * MIB)
		breach("%zu MiB in sockets", total / MIB);
	printf("%zu MiB\n", total / MIB);
	return EXIT_FAILURE;
}
