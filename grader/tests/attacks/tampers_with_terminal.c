/*
 * Its standard output is a terminal: it types into it, stops it, hangs it up,
 * takes it for itself. The grader's own terminal is another one.
 */
#include "contained.h"

#include <sys/ioctl.h>
#include <termios.h>

int main(int argc, char *argv[])
{
	struct termios mode;
	struct winsize size = {1, 1, 1, 1};

	contained();
	if (open("/dev/tty", O_RDWR) >= 0)
		breach("/dev/tty");
	if (ioctl(STDOUT_FILENO, TIOCSTI, "x") == 0)
		breach("TIOCSTI");
	if (ioctl(STDOUT_FILENO, TIOCLINUX, "\2") == 0)
		breach("TIOCLINUX");
	if (ioctl(STDOUT_FILENO, TIOCCONS) == 0)
		breach("TIOCCONS");
	if (vhangup() == 0)
		breach("vhangup");
	if (fork() == 0) {
		setsid();
		ioctl(STDOUT_FILENO, TIOCSCTTY, 0);
		ioctl(STDOUT_FILENO, TIOCSTI, "x");
		_exit(EXIT_SUCCESS);
	}
	wait(NULL);
	signal(SIGTTOU, SIG_IGN);
	if (tcgetattr(STDOUT_FILENO, &mode) == 0) {
		mode.c_lflag |= ECHO | ICANON | ISIG | TOSTOP;
		mode.c_oflag |= OPOST | OLCUC;
		mode.c_cflag &= (tcflag_t)~CREAD;
		tcsetattr(STDOUT_FILENO, TCSANOW, &mode);
	}
	ioctl(STDOUT_FILENO, TIOCSWINSZ, &size);
	ioctl(STDOUT_FILENO, TIOCEXCL);
	fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
	tcflow(STDOUT_FILENO, TCOOFF);
	serve(argc, argv);
	return EXIT_FAILURE;
}
