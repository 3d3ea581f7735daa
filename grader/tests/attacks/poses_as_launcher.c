/*
 * Becomes, as soon as it runs, a program with the name of one of the launchers
 * that the grader waits to see gone. It is known by its place, not by its name.
 */
#include "contained.h"

__attribute__((constructor(101))) static void pose(void)
{
	static char data[1 << 20];
	static char *argv[] = {"/tmp/bwrap", "1", NULL};
	char name[64] = "";
	int in, out;
	ssize_t count;

	contained();
	if (readlink("/proc/self/exe", name, sizeof(name) - 1) < 0 ||
	    strcmp(name, argv[0]) == 0)
		return;
	in = open("/proc/self/exe", O_RDONLY);
	out = open(argv[0], O_WRONLY | O_CREAT, 0700);
	count = read(in, data, sizeof(data));
	if (count > 0 && write(out, data, (size_t)count) == count) {
		close(out);
		execv(argv[0], argv);
	}
}

int main(int argc, char *argv[])
{
	(void)argc;
	while (strcmp(argv[0], "/tmp/bwrap") == 0)
		nap(1000);
	fprintf(stderr, "[ERROR] too late\n");
	return EXIT_FAILURE;
}
