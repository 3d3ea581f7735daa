/*
 * Ignores every signal that can be ignored, blocks the others, and stops
 * itself. SIGKILL cannot be ignored, and reaches the stopped, too.
 */
#include "contained.h"

int main(void)
{
	sigset_t all;

	contained();
	for (int number = 1; number < 65; number++)
		signal(number, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	kill(getpid(), SIGSTOP);
	for (int i = 0; i < LIFE_SECONDS; i++)
		nap(1000);
	return EXIT_FAILURE;
}
