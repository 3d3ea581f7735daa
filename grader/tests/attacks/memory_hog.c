/*
 * Takes 3 GiB of memory. The grader's guard ends it when it has more than one.
 */
#include "contained.h"

int main(void)
{
	contained();
	for (int i = 0; i < 3 * 64; i++) {
		char *memory = malloc(16 * MIB);

		if (!memory)
			break;
		memset(memory, 1, 16 * MIB);
	}
	breach("3 GiB of memory");
}
