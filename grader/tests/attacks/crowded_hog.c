/*
 * Takes 3 GiB of memory behind 1500 processes that only make it slow to look at
 * them all. The guard still sees it in time.
 */
#include "contained.h"

int main(void)
{
	contained();
	for (int i = 0; i < 1500; i++)
		fork_one_that_waits();
	for (int i = 0; i < 3 * 64; i++) {
		char *memory = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			break;
		memset(memory, 1, 16 * MIB);
	}
	nap(10000); /* on a busy machine the guard is late */
	breach("3 GiB of memory behind a crowd");
}
