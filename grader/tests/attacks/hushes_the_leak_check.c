/*
 * Leaks, and defines the function by which LeakSanitizer asks whether to look. Who
 * speaks to the sanitizers fails their check.
 */
#include "contained.h"

int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

int main(int argc, char *argv[])
{
	static char *volatile leaked;

	contained();
	leaked = malloc(1000);
	leaked = NULL;
	return serve(argc, argv);
}
