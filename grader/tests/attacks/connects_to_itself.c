/*
 * Opens 12,000 connections to itself, in processes for the bound of
 * descriptors, until no port is left, and then serves. The guard counts
 * sockets.
 */
#include "contained.h"

static void connect_often(int port)
{
	struct rlimit most = {4096, 4096};
	int listener = listen_on(port, true);

	alarm(LIFE_SECONDS);
	setrlimit(RLIMIT_NOFILE, &most);
	for (int i = 0; i < 2000; i++)
		if (connect_to(port) < 0 || accept(listener, NULL, NULL) < 0)
			break;
	for (;;)
		pause();
}

int main(int argc, char *argv[])
{
	contained();
	for (int i = 0; i < 6; i++)
		if (fork() == 0)
			connect_often(30000 + i);
	nap(2000);
	return serve(argc, argv);
}
