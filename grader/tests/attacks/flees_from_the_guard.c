/*
 * Moves on to a new process every millisecond, to be nowhere when somebody
 * looks, and grows to 3 GiB on the way.
 */
#include "contained.h"

int main(void)
{
	char *memory;

	contained();
	memory = mmap(NULL, 3072 * MIB, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return EXIT_FAILURE;
	if (fork() > 0) {
		for (;;)
			pause();
	}
	for (size_t i = 0; i < 3072; i += 16) {
		memset(memory + i * MIB, 1, 16 * MIB);
		if (fork() > 0)
			_exit(EXIT_SUCCESS);
		alarm(LIFE_SECONDS);
	}
	nap(10000); /* on a busy machine the guard is late */
	fprintf(stderr, "BREACH: 3 GiB on the run\n");
	kill(-1, SIGKILL);
	return EXIT_FAILURE;
}
