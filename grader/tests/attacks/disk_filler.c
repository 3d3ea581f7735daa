/*
 * Writes up to 2 GiB wherever it can make a file, or finds one that it can
 * write to. Only its /tmp lets it, and that is 16 MiB of memory.
 */
#include "contained.h"

#include <ftw.h>

static size_t most;

static void fill(const char *path)
{
	static char data[MIB];
	int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	size_t total = 0;
	struct stat status;
	ssize_t count;

	if (fd < 0 || fstat(fd, &status) < 0)
		return;
	while (S_ISREG(status.st_mode) && total < 2048 * MIB &&
	       (count = write(fd, data, sizeof(data))) > 0)
		total += (size_t)count;
	fdatasync(fd);
	close(fd);
	if (total > most)
		most = total;
	if (total > 0 && strncmp(path, "/tmp/", 5) != 0)
		breach("%zu bytes in %s", total, path);
}

static int visit(const char *path, const struct stat *status, int kind,
		 struct FTW *where)
{
	char inside[4200];

	(void)where;
	if (strncmp(path, "/proc/", 6) == 0) /* whose links lead to /tmp, too */
		return FTW_SKIP_SUBTREE;
	if (kind == FTW_D || kind == FTW_DNR) {
		snprintf(inside, sizeof(inside), "%s/fill", path);
		fill(inside);
	} else if (S_ISREG(status->st_mode)) {
		fill(path);
	}
	return where->level > 4 ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
}

int main(int argc, char *argv[])
{
	contained();
	signal(SIGXFSZ, SIG_IGN);
	mkdir("/tmp/more", 0700);
	nftw("/", visit, 20, FTW_PHYS | FTW_ACTIONRETVAL);
	fill("/dev/shm/fill");
	fill("/tmp/one");
	fill("/tmp/two");
	if (most > 17 * MIB)
		breach("%zu MiB in one file", most / MIB);
	return serve(argc, argv);
}
