/*
 * Looks for the grader's environment, in its own and in that of every process
 * it sees. Programs get one of their own, and the only other process is the
 * cell's init.
 */
#include "contained.h"

extern char **environ;

static void search(const char *path)
{
	static char data[1 << 16];
	FILE *file = fopen(path, "r");
	size_t count = file ? fread(data, 1, sizeof(data), file) : 0;

	if (memmem(data, count, "CANARY", 6) ||
	    memmem(data, count, "GITHUB", 6))
		breach("the environment, in %s", path);
	if (file)
		fclose(file);
}

int main(int argc, char *argv[])
{
	static const char *const files[] = {"environ", "cmdline", "maps",
					    "auxv",    "stat",    "mountinfo"};
	char path[64];

	contained();
	if (getenv("GITHUB_TOKEN") || getenv("TMPDIR") ||
	    (getenv("HOME") && strcmp(getenv("HOME"), "/tmp") != 0))
		breach("the environment");
	for (char **variable = environ; *variable; variable++)
		if (strstr(*variable, "CANARY"))
			breach("%s", *variable);
	for (int pid = 0; pid < 3000; pid++) {
		for (size_t i = 0; i < COUNT(files); i++) {
			snprintf(path, sizeof(path), "/proc/%d/%s", pid,
				 files[i]);
			search(path);
		}
	}
	return serve(argc, argv);
}
