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

static size_t start_threads(void)
{
	pthread_attr_t small;
	pthread_t thread;
	size_t count = 0;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while (count < 500 &&
	       pthread_create(&thread, &small, wait_for_ever, NULL) == 0)
		count++;
	return count;
}

int main(int argc, char *argv[])
{
	size_t total;
	int ends[2];

	contained();
	open_pipe(ends);
	for (int i = 0; i < 10; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			tell(ends, start_threads());
			for (;;)
				pause();
		}
	}
	total = told(ends, 10);
	if (total > 2100)
		breach("%zu threads", total);
	return serve(argc, argv);
}
