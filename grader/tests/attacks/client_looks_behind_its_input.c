/*
 * Stage 2: its standard input and output lead to the grader; it looks what it
 * can do with them besides reading and writing. They are pipes, and not the
 * terminal.
 */
#include "contained.h"

#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
	struct stat status;
	int process_group;

	contained();
	for (int fd = 0; fd < 3; fd++) {
		if (fstat(fd, &status) < 0 || isatty(fd))
			breach("descriptor %d is a terminal", fd);
		if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
			breach("descriptor %d is no pipe", fd);
		if (ioctl(fd, TIOCGPGRP, &process_group) == 0)
			breach("descriptor %d controls a terminal", fd);
		if (lseek(fd, 0, SEEK_SET) == 0 && S_ISREG(status.st_mode))
			breach("descriptor %d can be read from its start", fd);
	}
	if (open("/dev/tty", O_RDWR) >= 0)
		breach("/dev/tty");
	/* Feeds the grader what it sends itself, as far as that goes. */
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK | O_APPEND | O_DIRECT);
	fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK | O_APPEND | O_DIRECT);
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
	if (open("/proc/self/fd/0", O_WRONLY) >= 0)
		write(open("/proc/self/fd/0", O_WRONLY), "forged\n", 7);
	return EXIT_FAILURE;
}
