/*
 * A function that a milestone calls looks for the process that keeps the log,
 * for the token that signs it, and for the status that a passed test ends with.
 */
#include "contained.h"

#include <sys/ptrace.h>
#include <sys/uio.h>

static void forge(void)
{
	static char found[MIB];
	struct iovec ours = {found, sizeof(found)};
	struct iovec theirs = {(void *)0x400000, sizeof(found)};
	char path[64];

	for (int status = 0; status < 3; status++)
		if (fork() == 0)
			exit(status);
	for (pid_t pid = 1; pid < 50; pid++) {
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		if (pid == getpid())
			continue;
		if (open(path, O_RDONLY) >= 0)
			breach("opened %s", path);
		if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) > 0)
			breach("read process %d", pid);
		for (int fd = 0; fd < 8; fd++) {
			snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
			fd = open(path, O_WRONLY | O_NONBLOCK) < 0 ? fd : 99;
			if (fd == 99 && pid <= getppid())
				breach("opened %s", path);
		}
	}
	exit(0);
}

int parse_port(const char *text)
{
	contained();
	forge();
	return text ? 1 : 0;
}

int create_server(int port)
{
	contained();
	forge();
	return port;
}

int accept_client(int fd)
{
	return fd;
}

int send_all(int fd, const char *data, size_t length)
{
	return data && length ? fd : 0;
}

int echo_client(int fd)
{
	return fd;
}

int main(void)
{
	return EXIT_FAILURE;
}
