/*
 * Attaches to every process that it sees, with ptrace and with what reads and
 * writes another's memory. It sees the cell's init and nobody else, and that
 * has nothing that it does not have itself, but for a counter of events.
 */
#include "contained.h"

#include <sys/ptrace.h>
#include <sys/uio.h>

static void take_from_init(void)
{
	long init = syscall(SYS_pidfd_open, 1, 0);
	char path[64], name[64];
	struct stat status;
	ssize_t count;
	long mine;

	for (int fd = 3; fd < 64; fd++) {
		mine = syscall(SYS_pidfd_getfd, init, fd, 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%ld", mine);
		count = readlink(path, name, sizeof(name));
		if (mine < 0 || fstat((int)mine, &status) < 0)
			continue;
		if (count < 20 || memcmp(name, "anon_inode:[eventfd]", 20) != 0)
			breach("init's %.*s", (int)count, name);
		close((int)mine);
	}
}

int main(int argc, char *argv[])
{
	char data[64], path[64];
	struct iovec local = {data, sizeof(data)};

	contained();
	take_from_init();
	for (pid_t pid = 2; pid < 3000; pid++) {
		struct iovec remote = {(void *)0x400000, sizeof(data)};

		if (pid == getpid())
			continue;
		if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 ||
		    ptrace(PTRACE_ATTACH, pid, 0, 0) == 0)
			breach("attached to process %d", pid);
		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) > 0 ||
		    process_vm_writev(pid, &local, 1, &remote, 1, 0) > 0)
			breach("the memory of process %d", pid);
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		if (open(path, O_RDWR) >= 0)
			breach("opened %s", path);
	}
	return serve(argc, argv);
}
