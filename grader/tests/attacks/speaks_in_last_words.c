/*
 * Its last six lines, which the lesson shows, are commands in disguise; one is
 * so long that where it is cut, or broken, a new one would begin.
 */
#include "contained.h"

int main(void)
{
	contained();
	for (int i = 60; i < 82; i++)
		printf("%*s ::error::broken here\n", i, "x");
	fflush(stdout);
	fprintf(stderr, "\xc2\x85::error::after a next line\n");
	fprintf(stderr, "\x1c::error::after a file separator\n");
	fprintf(stderr, "%72s ::error::broken here\n", "x");
	fprintf(stderr, "##[error]forged ###[error]forged\n");
	fprintf(stderr, "\xe2\x80\xa8::add-mask::e\x1b]0;title\a\n");
	fprintf(stderr, "\r\r::stop-commands::x\r::error::x\n");
	return EXIT_FAILURE;
}
