/*
 * Attaches to every process that it sees, with ptrace and with what reads and
 * writes another's memory, or takes what it has open. It sees the cell's init
 * and nobody else; whoever has that in hand outlives the grader.
 */
#include "contained.h"

#include <sys/ptrace.h>
#include <sys/uio.h>

static void take_from_init(void)
{
	static const char *const names[] = {"exe", "mem", "root", "fd/0",
					    "maps"};
	long init = syscall(SYS_pidfd_open, 1, 0);
	char path[64];

	for (int fd = 0; fd < 64; fd++)
		if (syscall(SYS_pidfd_getfd, init, fd, 0) >= 0)
			breach("init's descriptor %d", fd);
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof(path), "/proc/1/%s", names[i]);
		if (open(path, O_RDONLY) >= 0)
			breach("opened %s", path);
	}
}

int main(int argc, char *argv[])
{
	char data[64], path[64];
	struct iovec local = {data, sizeof(data)};

	contained();
	take_from_init();
	for (pid_t pid = 1; pid < 3000; pid++) {
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
