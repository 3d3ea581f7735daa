/*
 * Opens as many terminals as there are: the machine has some thousands, for
 * all.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	static const char *const paths[] = {"/dev/ptmx", "/dev/pts/ptmx"};

	contained();
	for (size_t i = 0; i < COUNT(paths); i++)
		if (open(paths[i], O_RDWR | O_NOCTTY) >= 0)
			breach("a terminal from %s", paths[i]);
	return serve(argc, argv);
}
