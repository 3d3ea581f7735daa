/*
 * Uses all processors, in 64 processes that are always new ones, and does not
 * serve. The grader sees that, and does not wait.
 */
#include "contained.h"

int main(void)
{
	time_t end = time(NULL) + 30;

	contained();
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 64; i++) {
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			for (int round = 0; time(NULL) < end; round++)
				if (round % 1000000 == 999999 && fork() > 0)
					_exit(EXIT_SUCCESS);
			_exit(EXIT_SUCCESS);
		}
	}
	for (;;)
		nap(1000);
}
