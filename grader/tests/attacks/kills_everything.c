/*
 * Kills, stops and hangs up its parent, its init and all that it sees. It sees
 * nobody but itself and its init, which signals from inside do not reach.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	static const int signals[] = {SIGSTOP, SIGKILL, SIGTERM, SIGHUP,
				      SIGUSR1, SIGSEGV, SIGINT,  SIGTSTP};
	pid_t parent = getppid();

	contained();
	for (size_t i = 0; i < COUNT(signals); i++) {
		kill(1, signals[i]);
		kill(parent, signals[i]);
		kill(-1, signals[i]); /* all but us */
		for (pid_t pid = 1; pid < 400; pid++)
			if (pid != getpid())
				kill(pid, signals[i]);
	}
	nap(200);
	if (getppid() != parent)
		breach("the parent is gone");
	return serve(argc, argv);
}
