#include "milestones.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* A function that waits for ever is stuck; one that works takes under a second.
 */
#define TIMEOUT_SECONDS 4

/* The linker sends the student's calls to __wrap_… (ld(1), --wrap). */
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
	errno = 0; /* so that an old EINTR is not taken for the cause of a -1 */
	if (*length > most_bytes)
		*length = most_bytes;
	/* Every fourth call, so that recv() and send() in turn are both hit. */
	if (++calls % 4 != 2)
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

int connect_to(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		ck_abort_msg("nobody answers on port %d: %s", port,
			     strerror(errno));
	return fd;
}

void connect_pair(int pair[2])
{
	int port;
	int listener = listen_somewhere(&port);

	pair[0] = connect_to(port);
	pair[1] = accept(listener, NULL, NULL);
	if (pair[1] < 0)
		ck_abort_msg("the test itself cannot accept: %s",
			     strerror(errno));
	close(listener);
}

int next_descriptor(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	close(fd);
	return fd;
}

void answer_in_background(int fd)
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
	while ((count = __real_recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		for (ssize_t i = 0; i < count; i++)
			buffer[i] = (char)toupper((unsigned char)buffer[i]);
		if (__real_send(fd, buffer, (size_t)count, MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(EXIT_SUCCESS);
}

void send_to(int fd, const char *data, size_t length)
{
	if (__real_send(fd, data, length, MSG_NOSIGNAL) != (ssize_t)length)
		ck_abort_msg("the test cannot send: %s", strerror(errno));
}

void receive_expected(int fd, const char *expected, size_t length,
		      const char *what)
{
	struct timeval patience = {.tv_sec = TIMEOUT_SECONDS / 2};
	char *received = calloc(1, length + 1);
	size_t total = 0;
	ssize_t count = 1;

	ck_assert_msg(received != NULL, "the test itself has no memory");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
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

void try_parse_port(int (*parse_port)(const char *text))
{
	static const struct {
		const char *text;
		int port;
	} cases[] = {
		{"8080", 8080}, {"0", 0},      {"65535", 65535},
		{"", -1},       {"port", -1},  {"80a", -1},
		{"-1", -1},     {"65536", -1}, {"99999999999999999999", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int port = parse_port(cases[i].text);

		ck_assert_msg(port == cases[i].port,
			      "parse_port(\"%s\") returned %d, not %d",
			      cases[i].text, port, cases[i].port);
	}
}

/* Takes the port with another socket, and expects create_server() to fail. */
static void try_taken_port(int (*create_server)(int port))
{
	int port, fd, next;

	listen_somewhere(&port);
	next = next_descriptor();
	errno = 0;
	fd = create_server(port);
	ck_assert_msg(fd == -1,
		      "create_server(%d) returned %d, not -1, although another "
		      "socket listens on that port",
		      port, fd);
	ck_assert_msg(errno == EADDRINUSE,
		      "create_server() on a port that is taken left errno at "
		      "\"%s\", not \"%s\"",
		      strerror(errno), strerror(EADDRINUSE));
	ck_assert_msg(next_descriptor() == next,
		      "create_server() failed and left its socket open");
}

void try_create_server(int (*create_server)(int port))
{
	struct sockaddr_in address = {0};
	int fd, port, listens = 0, reuses = 0;
	socklen_t size = sizeof(int), length = sizeof(address);

	close(listen_somewhere(&port)); /* so that port is free */
	fd = create_server(port);
	ck_assert_msg(fd >= 0, "create_server(%d) returned %d: %s", port, fd,
		      strerror(errno));
	ck_assert_msg(port_of(fd) == port,
		      "asked for port %d, the socket has port %d", port,
		      port_of(fd));
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
	ck_assert_msg(listens, "the socket does not listen");
	getsockname(fd, (struct sockaddr *)&address, &length);
	ck_assert_msg(address.sin_addr.s_addr == htonl(INADDR_ANY),
		      "the socket has only the address %s, not all of them",
		      inet_ntoa(address.sin_addr));
	getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuses, &size);
	ck_assert_msg(reuses, "SO_REUSEADDR is not set");
	try_taken_port(create_server);
}

void try_send_all(int (*send_all)(int fd, const char *data, size_t length))
{
	static const char text[] = "sent in pieces, and not one of them lost";
	int pair[2], result;

	connect_pair(pair);
	set_short_counts(7);
	result = send_all(pair[0], text, sizeof(text));
	set_short_counts(0);
	ck_assert_msg(result == 0,
		      "send_all() returned %d, not 0: %s (here send() takes 7 "
		      "bytes at a time, and is interrupted now and then)",
		      result, strerror(errno));
	shutdown(pair[0], SHUT_WR); /* now nothing more can be sent */
	receive_expected(pair[1], text, sizeof(text),
			 "when send() takes 7 bytes at a time");
	result = send_all(pair[0], text, sizeof(text));
	ck_assert_msg(result == -1,
		      "send_all() on a closed connection returned %d, not -1",
		      result);
}

/* 32 hexadecimal digits and NUL: known to this process, and not to the tests.
 */
static char token[33];

/*
 * The exit status of a test that came to its end. No student's function exits
 * with it by chance; to Check, an exit(0) anywhere would be a passed test.
 */
static int completed_status;

static void say_completed(void)
{
	_exit(completed_status);
}

/* Raised by send() itself, so this may call any function. */
static void on_sigpipe(int number)
{
	(void)number;
	ck_abort_msg("to send on a closed connection raised SIGPIPE");
}

/* Makes a test's process an ordinary one, without the token. */
static void prepare(void)
{
	explicit_bzero(token, sizeof(token));
	prctl(PR_SET_DUMPABLE, 1);
	/* Keep what the student's functions print out of the log. */
	if (!freopen("/dev/null", "w", stdout) ||
	    !freopen("/dev/null", "w", stderr))
		ck_abort_msg("the test itself cannot open /dev/null");
	signal(SIGPIPE, on_sigpipe);
}

/* Reads the token and hides it: other processes of the same user cannot read
 * the memory of a process that is not dumpable (ptrace(2)). */
static bool take_token(void)
{
	size_t length = 0;
	ssize_t count = 1;

	while (length < sizeof(token) - 1 && count > 0) {
		count = __real_read(STDIN_FILENO, token + length,
				    sizeof(token) - 1 - length);
		length += count > 0 ? (size_t)count : 0;
	}
	return prctl(PR_SET_DUMPABLE, 0) == 0 && length == sizeof(token) - 1 &&
	       freopen("/dev/null", "r", stdin);
}

/* Not 0 or 1, which any program exits with, and not negative to Check. */
static int some_exit_status(void)
{
	unsigned char random = 0;

	getrandom(&random, sizeof(random), 0);
	return 2 + random % 126;
}

/* What the stage adds to a failure that Check describes with MESSAGE. */
static const char *said_besides(const struct milestone *milestone,
				const char *message)
{
	static const char stuck[] = "Test timeout expired";

	if (!milestone->if_stuck || strncmp(message, stuck, strlen(stuck)) != 0)
		return "";
	return milestone->if_stuck;
}

/* Each milestone is one test; results are in the order of MILESTONES. */
static void write_results(SRunner *runner, const struct milestone milestones[])
{
	TestResult **results = srunner_results(runner);
	int count = srunner_ntests_run(runner);

	for (int i = 0; i < count; i++) {
		bool passed = tr_rtype(results[i]) == CK_PASS;
		const char *said = passed ? "" : tr_msg(results[i]);
		const char *more = said_besides(&milestones[i], said);

		printf("%s %s %s %s%s%s\n", token, passed ? "passed" : "failed",
		       tr_tcname(results[i]), said, *more ? "; " : "", more);
	}
	printf("%s end\n", token);
	free(results);
}

int run_milestones(const struct milestone milestones[], size_t count)
{
	Suite *suite = suite_create("milestones");
	SRunner *runner = srunner_create(suite);

	if (!take_token())
		return EXIT_FAILURE;
	completed_status = some_exit_status();
	for (size_t i = 0; i < count; i++) {
		TCase *tcase = tcase_create(milestones[i].name);

		tcase_set_timeout(tcase, TIMEOUT_SECONDS);
		tcase_add_checked_fixture(tcase, prepare, say_completed);
		tcase_add_exit_test(tcase, milestones[i].test,
				    completed_status);
		suite_add_tcase(suite, tcase);
	}
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_SILENT);
	write_results(runner, milestones);
	srunner_free(runner);
	return EXIT_SUCCESS;
}
