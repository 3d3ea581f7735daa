/*
 * Takes 3 GiB of memory, in 64 processes with little each. The guard adds up
 * what all of them use.
 */
#include "contained.h"

static void take(size_t size)
{
	char *memory = malloc(size);

	alarm(LIFE_SECONDS);
	for (size_t i = 0; memory && i < size; i += 4096)
		memory[i] = 1;
	for (;;)
		pause();
}

int main(void)
{
	contained();
	for (int i = 0; i < 64; i++)
		if (fork() == 0)
			take(48 * MIB);
	nap(10000);
	breach("3 GiB of memory in 64 processes");
}
