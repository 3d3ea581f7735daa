/* An array of 32 GiB that is not written out, but wanted when it runs. */
#include "contained.h"

static char array[32ul << 30];

int main(int argc, char *argv[])
{
	contained();
	for (size_t i = 0; i < 3072; i++)
		memset(array + i * MIB, argc, MIB);
	breach("3 GiB of zeros, and %s", argv[0]);
}
