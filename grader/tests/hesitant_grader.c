/*
 * Loaded into the grader (ld.so(8), LD_PRELOAD), this makes it sleep now and
 * then for 0.1 to 6.4 ms before or after a system call, as on a machine where
 * others want the processor. Meanwhile the program under test and the kernel go
 * on, so what the grader saw before is not what it sees next. At most a tenth
 * of the time is spent asleep. What the grader starts does not inherit this.
 *
 *	gcc -shared -fPIC -O2 -o hesitant_grader.so hesitant_grader.c
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void only_here(void)
{
	unsetenv("LD_PRELOAD");
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void hesitate(void)
{
	static __thread unsigned int dice;
	static __thread long long not_before;
	struct timespec pause = {0};
	long long now = now_ns();
	int error = errno;

	dice = (dice ? dice : (unsigned int)now) * 1664525U + 1013904223U;
	if (now < not_before || dice >> 29 != 0)
		return;
	pause.tv_nsec = 100000L << (dice >> 24 & 31) % 7;
	nanosleep(&pause, NULL);
	not_before = now_ns() + 9 * pause.tv_nsec;
	errno = error;
}

/* The C library's NAME, with a pause before and after it. */
#define HESITANT(type, name, parameters, ...)                                  \
	type name parameters                                                   \
	{                                                                      \
		static type(*real) parameters;                                 \
		type result;                                                   \
                                                                               \
		if (!real)                                                     \
			*(void **)&real = dlsym(RTLD_NEXT, #name);             \
		hesitate();                                                    \
		result = real(__VA_ARGS__);                                    \
		hesitate();                                                    \
		return result;                                                 \
	}

HESITANT(ssize_t, read, (int fd, void *data, size_t size), fd, data, size)
HESITANT(ssize_t, write, (int fd, const void *data, size_t size), fd, data,
	 size)
HESITANT(ssize_t, recv, (int fd, void *data, size_t size, int flags), fd, data,
	 size, flags)
HESITANT(ssize_t, send, (int fd, const void *data, size_t size, int flags), fd,
	 data, size, flags)
HESITANT(int, connect, (int fd, const struct sockaddr *to, socklen_t size), fd,
	 to, size)
HESITANT(int, accept4,
	 (int fd, struct sockaddr *from, socklen_t *size, int flags), fd, from,
	 size, flags)
HESITANT(int, shutdown, (int fd, int how), fd, how)
HESITANT(int, close, (int fd), fd)
HESITANT(int, kill, (pid_t pid, int number), pid, number)
HESITANT(int, poll, (struct pollfd * fds, nfds_t count, int timeout), fds,
	 count, timeout)
HESITANT(int, epoll_wait,
	 (int fd, struct epoll_event *events, int most, int timeout), fd,
	 events, most, timeout)
HESITANT(ssize_t, readlink, (const char *path, char *data, size_t size), path,
	 data, size)
HESITANT(DIR *, opendir, (const char *path), path)

int open64(const char *path, int flags, ...)
{
	static int (*real)(const char *path, int flags, ...);
	mode_t mode = 0;
	va_list rest;
	int fd;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "open64");
	va_start(rest, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(rest, mode_t);
	va_end(rest);
	hesitate();
	fd = real(path, flags, mode);
	hesitate();
	return fd;
}
