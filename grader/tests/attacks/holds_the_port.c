/*
 * Leaves a process behind that keeps its port, and 8080, so that the next check
 * cannot have it. That process is in the cell, and dies with it.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int port = port_asked_for(argc, argv);

	contained();
	if (port > 0 && fork() == 0) {
		setsid();
		alarm(LIFE_SECONDS);
		signal(SIGHUP, SIG_IGN);
		for (int i = 0; i < LIFE_SECONDS * 100; i++) {
			if (port != 8080)
				listen_on(8080, true);
			nap(10);
			if (getppid() == 1) /* now it is free: take it */
				listen_on(port, true);
		}
		_exit(EXIT_SUCCESS);
	}
	return serve(argc, argv);
}
