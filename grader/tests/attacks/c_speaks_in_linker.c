/* The linker repeats what is in sections of this name, as warnings. */
#include "contained.h"

static const char text[] __attribute__((used, section(".gnu.warning.getpid"))) =
	"\n::error::forged by the linker\n##[error]\x1b]0;title\a";

int main(int argc, char *argv[])
{
	contained();
	return getpid() ? serve(argc, argv) : EXIT_FAILURE;
}
