/*
 * Has 60,000 mappings, all of the same page, and 150 children that have them,
 * too: 2 GiB of the kernel's notes of them.
 */
#include "contained.h"

int main(void)
{
	size_t size = 60000 * 4096;
	char *memory;
	int count = 0;

	contained();
	memory = mmap(NULL, size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t i = 0; memory != MAP_FAILED && i < size; i += 8192)
		mprotect(memory + i, 4096, PROT_READ);
	while (count < 150 && fork_one_that_waits() > 0)
		count++;
	nap(10000); /* on a busy machine the guard is late */
	if (count > 100)
		breach("%d processes with 60,000 mappings", count);
	return EXIT_FAILURE;
}
