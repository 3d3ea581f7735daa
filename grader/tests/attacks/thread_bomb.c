/*
 * As many threads as there can be, in ten processes. Threads are counted where
 * processes are.
 */
#include "contained.h"

#include <pthread.h>

static void *wait_for_ever(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

static int start_threads(void)
{
	pthread_attr_t small;
	pthread_t thread;
	int count = 0;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while (count < 500 &&
	       pthread_create(&thread, &small, wait_for_ever, NULL) == 0)
		count++;
	return count;
}

int main(int argc, char *argv[])
{
	int *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int total = 0;

	contained();
	for (int i = 0; i < 10; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			counts[i] = start_threads();
			for (;;)
				pause();
		}
	}
	nap(2000);
	for (int i = 0; i < 10; i++)
		total += counts[i];
	if (total > 2100)
		breach("%d threads", total);
	return serve(argc, argv);
}
