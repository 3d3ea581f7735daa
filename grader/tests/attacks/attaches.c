/*
 * Attaches to every process that it sees, with ptrace and with what reads and
 * writes another's memory. Only the cell's init is there, which is not its own.
 */
#include "contained.h"

#include <sys/ptrace.h>
#include <sys/uio.h>

int main(int argc, char *argv[])
{
	char data[64], path[64];
	struct iovec local = {data, sizeof(data)};

	contained();
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
#if defined(SYS_pidfd_getfd) && defined(SYS_pidfd_open)
		for (int fd = 0; fd < 16; fd++)
			if (syscall(SYS_pidfd_getfd,
				    syscall(SYS_pidfd_open, pid, 0), fd,
				    0) >= 0)
				breach("a descriptor of process %d", pid);
#endif
	}
	return serve(argc, argv);
}
