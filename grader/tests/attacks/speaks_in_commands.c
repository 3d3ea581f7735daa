/*
 * Prints commands of a CI's runner and of terminals, each in several disguises.
 * Reports show what a student printed as text.
 */
#include "contained.h"

int main(void)
{
	static const char *const lines[] = {
		"::error file=README.md::forged",
		"::add-mask::e",
		"  ::stop-commands::x",
		"\t::set-output name=score::100",
		"\r::error::after a return",
		"\v::warning::after a vertical tab",
		"\xc2\x85::error::after a next line",
		"\xe2\x80\xa8::error::after a line separator",
		"\xc2\xa0::error::after a space that does not break",
		"\xef\xbb\xbf::error::after a byte order mark",
		"\xe2\x80\x8b::error::after a space without width",
		"x ##[error]forged",
		"##[group]forged",
		"###[add-mask]forged",
		"##\x01[error]forged",
		"\x1b]0;title\a\x1b]52;c;Zm9yZ2Vk\a\x1b[2J\x1b[1;1H",
		"\xc2\x9b[2J\xc2\x9d\x30;title\xc2\x9c",
		"\xe2\x80\xae reversed \xe2\x81\xa6",
		"passed\r\x1b[K100/100",
	};

	contained();
	for (size_t i = 0; i < COUNT(lines); i++) {
		printf("%s\n", lines[i]);
		fprintf(stderr, "%s\n", lines[i]);
		if (i % 3 == 2)
			fflush(NULL);
	}
	return EXIT_FAILURE;
}
