/*
 * Hides from /proc (PR_SET_DUMPABLE), takes a name that is meant to be misread
 * there, and opens what looks like sockets. It serves, and may.
 */
#include "contained.h"

#include <sys/prctl.h>
#include <sys/un.h>

int main(int argc, char *argv[])
{
	struct sockaddr_un odd = {
		.sun_family = AF_UNIX,
		.sun_path = "\0x\n0: 00000000:1F90 00000000:0000 0A\x1b::"};

	contained();
	prctl(PR_SET_NAME, ") Z 1 1\n1 (\x1b[");
	prctl(PR_SET_DUMPABLE, 0);
	bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&odd,
	     sizeof(odd));
	open("/tmp/socket:[1]\n\x1b", O_CREAT | O_RDWR, 0600);
	return serve(argc, argv);
}
