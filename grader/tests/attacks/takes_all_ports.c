/*
 * Listens on every port that the grader could choose for somebody else, before
 * the grader does. It is alone in its cell, and the next one begins anew.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int mine = port_asked_for(argc, argv);

	contained();
	signal(SIGCHLD, SIG_IGN);
	for (int part = 0; mine > 0 && part < 4; part++) {
		int first = 20000 + 2000 * part;
		struct rlimit most = {4096, 4096};

		if (fork() > 0)
			continue;
		alarm(LIFE_SECONDS);
		setrlimit(RLIMIT_NOFILE, &most);
		for (int port = first; port < first + 2000; port++)
			if (port != mine)
				listen_on(port, false);
		if (mine != 8080)
			listen_on(8080, false);
		for (;;)
			pause();
	}
	nap(200);
	return serve(argc, argv);
}
