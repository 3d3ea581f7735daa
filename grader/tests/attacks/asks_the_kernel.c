/*
 * Asks the kernel for what all on the machine have together, or what nobody is
 * charged for: modules for its terminal, a large share of asynchronous input
 * and output, and system call filters of its own. It asks with the upper half
 * of each argument set, too, where the kernel does not look.
 */
#include "contained.h"

#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#define UPPER_HALF (1L << 32)

int main(int argc, char *argv[])
{
	struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
	struct sock_fprog filter = {1, &allow};
	aio_context_t context = 0;
	int discipline = 27;

	contained();
	if (syscall(SYS_io_setup, 1000, &context) == 0)
		breach("asynchronous input and output");
	for (long upper = 0; upper <= UPPER_HALF; upper += UPPER_HALF) {
		if (syscall(SYS_ioctl, 1, TIOCSETD | upper, &discipline) == 0)
			breach("another line discipline");
		if (syscall(SYS_prctl, PR_SET_PDEATHSIG | upper, 0, 0, 0, 0) ==
		    0)
			breach("no signal when its parent dies");
		if (syscall(SYS_prctl, PR_SET_SECCOMP | upper,
			    SECCOMP_MODE_FILTER, &filter, 0, 0) == 0)
			breach("a filter, by prctl()");
	}
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0)
		breach("a filter, by seccomp()");
	return serve(argc, argv);
}
