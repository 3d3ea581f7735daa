/*
 * Reads one byte in each 2 MiB of 1 TiB: nothing but the page of zeros, and 2
 * GiB of page tables. The guard counts these, too.
 */
#include "contained.h"

int main(void)
{
	size_t size = (size_t)1 << 40;
	volatile char *memory;

	contained();
	memory = mmap(NULL, size, PROT_READ,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return EXIT_FAILURE;
	madvise((void *)memory, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += 2 * MIB)
		(void)memory[i];
	nap(10000); /* on a busy machine the guard is late */
	breach("2 GiB of page tables");
}
