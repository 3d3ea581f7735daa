/*
 * A fork bomb: as many processes as there can be. It stops at the bound that
 * the kernel sets to its user namespace (RLIMIT_NPROC).
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	int count = 0;

	contained();
	while (count < 5000 && fork_one_that_waits() > 0)
		count++;
	if (count > 2100)
		breach("%d processes", count);
	return serve(argc, argv);
}
