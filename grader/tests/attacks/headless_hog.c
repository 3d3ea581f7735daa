/*
 * Ends its first thread, after which /proc says nothing of the process's
 * memory, and takes 3 GiB in another one. The guard asks the threads.
 */
#include "contained.h"

#include <pthread.h>

static void *take(void *nothing)
{
	nap(300);
	for (int i = 0; i < 3 * 64; i++) {
		char *memory = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			break;
		memset(memory, 1, 16 * MIB);
		nap(10);
	}
	breach("3 GiB of memory in a process without its first thread");
	return nothing;
}

int main(void)
{
	pthread_t thread;

	contained();
	pthread_create(&thread, NULL, take, NULL);
	pthread_exit(NULL);
}
