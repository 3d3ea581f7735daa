/*
 * Reads the solutions, the grader, its tests, the home, and the machine's
 * accounts, on every way that leads out of a folder. The cell has none of them: its
 * /etc/passwd is one of its own.
 */
#include "contained.h"

#include <dirent.h>

static void try(const char *prefix, const char *path)
{
	char name[8192];

	snprintf(name, sizeof(name), "%s%s", prefix, path);
	if (open(name, O_RDONLY | O_NONBLOCK) >= 0)
		breach("opened %s", name);
	if (access(name, F_OK) == 0)
		breach("sees %s", name);
}

static void look_for_accounts(void)
{
	FILE *file = fopen("/etc/passwd", "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "root:", 5) != 0 &&
		    strncmp(line, "student:", 8) != 0 &&
		    strncmp(line, "nobody:", 7) != 0)
			breach("an account: %s", line);
	if (file)
		fclose(file);
}

static void look_for_processes(void)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	while (folder && (entry = readdir(folder)))
		count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
	if (count > 2)
		breach("%d processes in /proc", count);
}

int main(int argc, char *argv[])
{
	static const char *const paths[] = {
		SOLUTION,
		REPOSITORY "/grader/stages/1/stage.toml",
		REPOSITORY "/grader/stages/common/test_echo.py",
		REPOSITORY "/README.md",
		REPOSITORY,
		JSON_FILE,
		HOME_FOLDER "/canary",
		SUBMISSION,
		"/etc/shadow",
		"/etc/fstab",
		"/etc/hostname",
		"/root",
		"/home",
		"/var",
		"/run",
		"/sys",
		"/boot",
		"/usr/bin",
		"/bin",
		"/proc/kcore/.",
		"/dev/sda",
		"/dev/vda",
		"/dev/kmsg",
		"/dev/mem",
		"/dev/fuse",
		"/dev/net/tun",
		"/dev/kvm",
		"/dev/vsock",
	};
	static const char *const prefixes[] = {
		"",
		"/proc/1/root",
		"/proc/1/cwd",
		"/proc/self/root",
		"/proc/self/root/..",
		"/proc/self/cwd/../..",
		"/proc/self/cwd/../../../../..",
		"../../../../../..",
		"/proc/1/root/oldroot",
		"/oldroot",
		"/newroot/..",
		"/proc/1/fd/0/..",
		"/proc/self/fd/0/..",
	};
	struct {
		struct file_handle head;
		unsigned char inode[8];
	} handle = {.head = {.handle_bytes = 8, .handle_type = 1},
		    .inode = {2}};

	contained();
	for (size_t i = 0; i < COUNT(prefixes); i++)
		for (size_t j = 0; j < COUNT(paths); j++)
			try(prefixes[i], paths[j]);
	if (open_by_handle_at(open("/tcp_server", O_RDONLY), &handle.head,
			      O_RDONLY) >= 0)
		breach("open_by_handle_at");
	look_for_accounts();
	look_for_processes();
	return serve(argc, argv);
}
