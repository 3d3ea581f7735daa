/*
 * Takes memory that belongs to no process (memfd, System V, POSIX: all of that
 * is refused), and 3 GiB that processes share, and that nobody has touched who
 * is still there.
 */
#include "contained.h"

#include <sys/shm.h>

int main(int argc, char *argv[])
{
	char *memory;

	contained();
	if (syscall(SYS_memfd_create, "hog", 0) >= 0)
		breach("memfd_create");
#ifdef SYS_memfd_secret
	if (syscall(SYS_memfd_secret, 0) >= 0)
		breach("memfd_secret");
#endif
	if (shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600) >= 0)
		breach("shmget");
	if (shm_open("/hog", O_CREAT | O_RDWR, 0600) >= 0)
		breach("shm_open");
	memory = mmap(NULL, 3072 * MIB, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return serve(argc, argv);
	for (size_t i = 0; i < 3072; i += 64) {
		pid_t pid = fork(); /* none of them has it all */

		if (pid == 0) {
			memset(memory + i * MIB, 1, 64 * MIB);
			_exit(EXIT_SUCCESS);
		}
		waitpid(pid, NULL, 0);
	}
	/* Nobody has these pages in its table any more, and they are there. */
	nap(10000); /* on a busy machine the guard is late */
	breach("3 GiB of shared memory");
}
