#include "milestones.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A function that waits for ever is stuck; one that works needs no second. */
#define TIMEOUT_SECONDS 4

/* The linker has the student's calls come to __wrap_… (ld(1), --wrap). */
ssize_t __real_send(int fd, const void *data, size_t length, int flags);
ssize_t __real_recv(int fd, void *data, size_t length, int flags);
ssize_t __real_write(int fd, const void *data, size_t length);
ssize_t __real_read(int fd, void *data, size_t length);
ssize_t __wrap_send(int fd, const void *data, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t length, int flags);
ssize_t __wrap_write(int fd, const void *data, size_t length);
ssize_t __wrap_read(int fd, void *data, size_t length);

static size_t most_bytes; /* 0: as many as the kernel likes */
static unsigned int calls;

void set_short_counts(size_t most)
{
	most_bytes = most;
	calls = 0;
}

/* Cuts LENGTH, or says that this call is interrupted. */
static bool interrupted(size_t *length)
{
	if (most_bytes == 0)
		return false;
	if (*length > most_bytes)
		*length = most_bytes;
	if (++calls % 3 != 2)
		return false;
	errno = EINTR;
	return true;
}

ssize_t __wrap_send(int fd, const void *data, size_t length, int flags)
{
	return interrupted(&length) ? -1 : __real_send(fd, data, length, flags);
}

ssize_t __wrap_recv(int fd, void *data, size_t length, int flags)
{
	return interrupted(&length) ? -1 : __real_recv(fd, data, length, flags);
}

ssize_t __wrap_write(int fd, const void *data, size_t length)
{
	return interrupted(&length) ? -1 : __real_write(fd, data, length);
}

ssize_t __wrap_read(int fd, void *data, size_t length)
{
	return interrupted(&length) ? -1 : __real_read(fd, data, length);
}

int port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -1;
	return ntohs(address.sin_port);
}

int listen_somewhere(int *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 8) < 0)
		ck_abort_msg("the test itself cannot listen: %s",
			     strerror(errno));
	*port = port_of(fd);
	return fd;
}

void connect_pair(int pair[2])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int port;
	int listener = listen_somewhere(&port);

	address.sin_port = htons((uint16_t)port);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (pair[0] < 0 ||
	    connect(pair[0], (struct sockaddr *)&address, sizeof(address)) <
		    0 ||
	    (pair[1] = accept(listener, NULL, NULL)) < 0)
		ck_abort_msg("the test itself cannot connect: %s",
			     strerror(errno));
	close(listener);
}

void echo_in_background(int fd)
{
	char buffer[4096];
	ssize_t count;
	pid_t pid = fork();

	if (pid < 0)
		ck_abort_msg("the test itself cannot fork: %s",
			     strerror(errno));
	if (pid > 0) {
		close(fd);
		return;
	}
	alarm(TIMEOUT_SECONDS);
	while ((count = __real_recv(fd, buffer, sizeof(buffer), 0)) > 0)
		if (__real_send(fd, buffer, (size_t)count, MSG_NOSIGNAL) < 0)
			break;
	_exit(EXIT_SUCCESS);
}

void receive_expected(int fd, const char *expected, size_t length,
		      const char *what)
{
	char *received = calloc(1, length + 1);
	size_t total = 0;
	ssize_t count = 1;

	ck_assert_msg(received != NULL, "the test itself has no memory");
	while (total < length && count > 0) {
		count = __real_recv(fd, received + total, length - total, 0);
		total += count > 0 ? (size_t)count : 0;
	}
	ck_assert_msg(total == length, "%s: %zu of %zu bytes came", what, total,
		      length);
	ck_assert_msg(memcmp(received, expected, length) == 0,
		      "%s: the bytes that came are not those sent", what);
	free(received);
}

/* What the student's functions print would get between the lines of the log. */
static void silence(void)
{
	if (!freopen("/dev/null", "w", stdout) ||
	    !freopen("/dev/null", "w", stderr))
		exit(EXIT_FAILURE);
}

int run_milestones(const struct milestone milestones[], size_t count,
		   const char *log)
{
	Suite *suite = suite_create("milestones");
	SRunner *runner = srunner_create(suite);

	for (size_t i = 0; i < count; i++) {
		TCase *tcase = tcase_create(milestones[i].name);

		tcase_set_timeout(tcase, TIMEOUT_SECONDS);
		tcase_add_checked_fixture(tcase, silence, NULL);
		tcase_add_test(tcase, milestones[i].test);
		suite_add_tcase(suite, tcase);
	}
	srunner_set_fork_status(runner, CK_FORK);
	srunner_set_tap(runner, log);
	srunner_run_all(runner, CK_SILENT);
	srunner_free(runner);
	return EXIT_SUCCESS;
}
