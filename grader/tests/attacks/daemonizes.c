/*
 * Leaves its group, its session and its parent, to live on when it is graded.
 * The cell dies with its first process, and all in it.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	contained();
	if (fork() == 0) {
		setsid();
		signal(SIGHUP, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
		if (fork() == 0) {
			alarm(LIFE_SECONDS);
			while (getppid() != 1) /* not before it is init's */
				nap(1);
			return serve(argc, argv);
		}
		_exit(EXIT_SUCCESS);
	}
	wait(NULL);
	nap(100);
	return EXIT_SUCCESS;
}
