/*
 * Tries twenty ways out of its namespaces and into more rights. It has no
 * capabilities, can gain none, and can make no namespaces.
 */
#include "contained.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>

#define NEW_NAMESPACES                                                         \
	{                                                                      \
		CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID,        \
			CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP,           \
			0x80 /* time */                                        \
	}

static void get_namespaces(void)
{
	static const int flags[] = NEW_NAMESPACES;
	static const char *const kinds[] = {"user", "mnt", "net", "pid"};
	char path[64];

	for (size_t i = 0; i < COUNT(flags); i++) {
		long pid;

		if (unshare(flags[i]) == 0)
			breach("unshare %#x", flags[i]);
		pid = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0)
			_exit(EXIT_SUCCESS);
		if (pid > 0 && flags[i] != 0x80) /* there: part of a signal */
			breach("clone %#x", flags[i]);
	}
	for (size_t i = 0; i < COUNT(kinds); i++) {
		snprintf(path, sizeof(path), "/proc/1/ns/%s", kinds[i]);
		if (setns(open(path, O_RDONLY), 0) == 0)
			breach("setns %s", path);
	}
}

static void get_rights(void)
{
	gid_t groups[] = {0};

	prctl(PR_SET_KEEPCAPS, 1);
	if (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0)
		if (getuid() == 0)
			breach("it is root");
	if (setgid(0) == 0 || setgroups(1, groups) == 0)
		breach("groups");
	if (prctl(PR_CAPBSET_READ, 21) > 0)
		breach("CAP_SYS_ADMIN can be had");
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		breach("new privileges can be had");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0) == 0)
		breach("an ambient capability");
	if (setpriority(PRIO_PROCESS, 0, -20) == 0)
		breach("a better priority");
}

static void get_devices(void)
{
	if (mount("none", "/tmp", "tmpfs", 0, "") == 0 ||
	    mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL) == 0 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0 ||
	    mount("proc", "/tmp", "proc", 0, NULL) == 0)
		breach("mount");
	if (umount2("/proc", MNT_DETACH) == 0 || umount2("/", MNT_DETACH) == 0)
		breach("umount");
	if (chroot("/tmp") == 0)
		breach("chroot");
	if (syscall(SYS_pivot_root, "/tmp", "/tmp") == 0)
		breach("pivot_root");
	if (syscall(428 /* open_tree */, AT_FDCWD, "/", 1) >= 0)
		breach("open_tree");
	if (syscall(430 /* fsopen */, "tmpfs", 0) >= 0)
		breach("fsopen");
	if (mknod("/tmp/vda", S_IFBLK | 0600, makedev(254, 0)) == 0)
		breach("mknod");
	if (sethostname("cell", 4) == 0)
		breach("sethostname");
	if (swapoff("/tmp/none") == 0 || acct("/tmp/none") == 0)
		breach("acct");
}

static void write_files(void)
{
	static const char *const files[] = {
		"/proc/sysrq-trigger",
		"/proc/self/uid_map",
		"/proc/self/gid_map",
		"/proc/1/uid_map",
		"/proc/sys/kernel/core_pattern",
		"/proc/sys/kernel/modprobe",
		"/proc/sys/vm/drop_caches",
		"/proc/sys/kernel/hostname",
		"/proc/sys/fs/binfmt_misc/register",
		"/proc/sys/user/max_user_namespaces",
		"/proc/1/oom_score_adj",
		"/dev/mem",
		"/dev/port",
		"/sys/fs/cgroup/cgroup.procs",
	};

	for (size_t i = 0; i < COUNT(files); i++) {
		int fd = open(files[i], O_WRONLY);

		/* Nothing that could do anything, if it were written. */
		if (fd >= 0 && write(fd, "", 0) == 0 &&
		    !strstr(files[i], "_map"))
			breach("opened %s", files[i]);
		if (fd >= 0 && strstr(files[i], "_map") &&
		    write(fd, "0 0 1\n", 6) > 0)
			breach("wrote %s", files[i]);
	}
	if (open("/proc/self/oom_score_adj", O_WRONLY) >= 0 &&
	    write(open("/proc/self/oom_score_adj", O_WRONLY), "-1000", 5) > 0)
		breach("it is safe from the OOM killer");
}

static void call_young_parts(void)
{
	if (syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != ENOSYS)
		breach("bpf is there");
	if (syscall(425 /* io_uring_setup */, 1, NULL) >= 0 || errno != ENOSYS)
		breach("io_uring is there");
	if (syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) >= 0 ||
	    errno != ENOSYS)
		breach("perf_event_open is there");
	if (syscall(SYS_userfaultfd, 0) >= 0 || errno != ENOSYS)
		breach("userfaultfd is there");
}

int main(int argc, char *argv[])
{
	contained();
	get_namespaces();
	get_rights();
	get_devices();
	write_files();
	call_young_parts();
	return serve(argc, argv);
}
