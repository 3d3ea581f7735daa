/*
 * Leaves files, links and fifos whose names are escapes, line breaks and
 * options, and folders deeper than a path may be long. They are in the cell's
 * /tmp, and go with it.
 */
#include "contained.h"

#define DEEPER "a folder whose name is long, in another one of that name"

int main(int argc, char *argv[])
{
	static const char *const names[] = {
		"\x1b[2J\x1b]0;title\a",
		"two\nlines",
		"\r::error::forged",
		"::error::forged",
		"-rf",
		"--help",
		" ",
		"\xff\xfe",
		"##[error]x",
		"; touch forged; $(date)",
		"*",
		"con\vtrol",
	};

	contained();
	for (size_t i = 0; i < COUNT(names); i++) {
		open(names[i], O_CREAT | O_WRONLY, 0);
		mkdirat(AT_FDCWD, "d", 0);
		rename("d", names[i]);
		mkfifo(names[i], 0);
		symlink(HOME_FOLDER "/canary", names[i]);
	}
	for (int i = 0; i < 300; i++)
		if (mkdir(DEEPER, 0700) < 0 || chdir(DEEPER) < 0)
			break;
	chmod(".", 0);
	return serve(argc, argv);
}
