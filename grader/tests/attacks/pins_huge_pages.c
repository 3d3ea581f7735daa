/*
 * Leaves 3 GiB in pipes that nobody reads, and that look like 6 MiB: of each
 * huge page it hands over a small piece, and the kernel keeps the whole.
 */
#include "contained.h"

#include <sys/uio.h>

#define HUGE_PAGE (2 * MIB)

/* Whether one more huge page is kept in the pipe. */
static bool pin_one(int into)
{
	char *mapped = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t start =
		((uintptr_t)mapped + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	struct iovec piece = {(void *)start, 4096};
	bool pinned;

	if (mapped == MAP_FAILED)
		return false;
	madvise(piece.iov_base, HUGE_PAGE, MADV_HUGEPAGE);
	*(char *)piece.iov_base = 1;
	pinned = vmsplice(into, &piece, 1, SPLICE_F_NONBLOCK) > 0;
	munmap(mapped, 2 * HUGE_PAGE);
	return pinned;
}

int main(int argc, char *argv[])
{
	size_t pinned = 0;
	int pair[2];

	contained();
	for (int pipes = 0; pipes < 96 && pipe2(pair, O_NONBLOCK) == 0; pipes++)
		for (int i = 0; i < 16 && pin_one(pair[1]); i++)
			pinned += HUGE_PAGE;
	nap(3000); /* on a busy machine the guard is late */
	if (pinned > 1280 * MIB)
		breach("%zu MiB in huge pages", pinned / MIB);
	return serve(argc, argv);
}
