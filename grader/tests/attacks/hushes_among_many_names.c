/*
 * Leaks, and has LeakSanitizer look away by a function whose name stands behind
 * so many others that whoever reads their list may stop before.
 */
#include "contained.h"

int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

__asm__(".altmacro\n"
	".macro name number\n"
	".globl A_long_name_that_comes_before_all_the_others_\\number\n"
	"A_long_name_that_comes_before_all_the_others_\\number:\n"
	".endm\n"
	".set i, 0\n"
	".rept 3000\n"
	"name %i\n"
	".set i, i + 1\n"
	".endr\n");

int main(int argc, char *argv[])
{
	static char *volatile leaked;

	contained();
	leaked = malloc(1000);
	leaked = NULL;
	return serve(argc, argv);
}
