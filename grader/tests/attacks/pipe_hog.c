/*
 * Leaves up to 2 GiB unread in pipes, two pages in each, in 130 processes. That
 * is the kernel's memory; the guard counts it by the descriptors.
 */
#include "contained.h"

static size_t fill(void)
{
	static char data[4096];
	struct rlimit most = {4096, 4096};
	size_t total = 0;
	int pair[2];

	setrlimit(RLIMIT_NOFILE, &most);
	while (total < 16 * MIB && pipe2(pair, O_NONBLOCK) == 0)
		for (int i = 0; i < 2; i++)
			if (write(pair[1], data, sizeof(data)) > 0)
				total += sizeof(data);
	return total;
}

int main(void)
{
	size_t total;
	int ends[2];

	contained();
	open_pipe(ends);
	for (int i = 0; i < 130; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			tell(ends, fill());
			for (;;)
				pause();
		}
	}
	total = told(ends, 130);
	nap(10000); /* on a busy machine the guard is late */
	if (total > 1280 * MIB)
		breach("%zu MiB in pipes", total / MIB);
	return EXIT_FAILURE;
}
