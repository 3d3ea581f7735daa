/*
 * Waits in vfork() for a child that does not let it go: a sleep that no signal
 * interrupts, but SIGKILL.
 */
#include "contained.h"

int main(void)
{
	contained();
	signal(SIGTERM, SIG_IGN);
	if (vfork() == 0) {
		for (int i = 0; i < 30; i++)
			nap(1000);
		_exit(EXIT_SUCCESS);
	}
	return EXIT_FAILURE;
}
