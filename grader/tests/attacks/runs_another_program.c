/*
 * Has another program do the work: a shell, Python, one from memory. There is
 * none in the cell; a copy of itself in /tmp is still itself, and still in the
 * cell.
 */
#include "contained.h"

static int run(const char *path)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl(path, path, "-c", "exit 0", "--version", NULL);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 99 ? -1 : 0;
}

static void copy_itself(const char *to)
{
	char data[65536];
	int in = open("/proc/self/exe", O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	ssize_t count;

	while ((count = read(in, data, sizeof(data))) > 0)
		if (write(out, data, (size_t)count) < 0)
			break;
	close(in);
	close(out);
}

int main(int argc, char *argv[])
{
	static const char *const programs[] = {
		"/bin/sh",          "/bin/bash",     "/bin/busybox",
		"/usr/bin/python3", "/usr/bin/perl", "/usr/bin/nc",
		"/usr/bin/socat",   "/usr/bin/env",  "/usr/bin/bwrap",
		"/usr/bin/setpriv", "/usr/bin/gcc",  "/bin/mount",
	};
	int fd;

	contained();
	if (argc > 1 && strcmp(argv[1], "-c") == 0)
		return EXIT_SUCCESS; /* we are the copy */
	for (size_t i = 0; i < COUNT(programs); i++)
		if (run(programs[i]) == 0)
			breach("ran %s", programs[i]);
	if (system("exit 0") == 0)
		breach("a shell");
	fd = (int)syscall(SYS_memfd_create, "program", 0);
	if (fd >= 0)
		breach("memfd_create");
	copy_itself("/tmp/copy");
	run("/tmp/copy");
	return serve(argc, argv);
}
