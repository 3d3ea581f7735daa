/*
 * Leaves up to 2 GiB unread in sockets, where it is the kernel's memory and not
 * a process's. The guard counts sockets.
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
	size_t total;
	int ends[2];

	contained();
	open_pipe(ends);
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			tell(ends, fill(256 * MIB));
			for (;;)
				pause();
		}
	}
	total = told(ends, 8);
	nap(10000); /* on a busy machine the guard is late */
	if (total > 1280 * MIB)
		breach("%zu MiB in sockets", total / MIB);
	return EXIT_FAILURE;
}
