/*
 * Every hostile program begins with this. It proves that it is in a cell, so
 * that the machine these tests run on comes to no harm even if the grader is
 * broken. The test defines, in front of this text,
 *
 *     HOST_PID_NS, HOST_NET_NS  the test's own namespaces, from readlink()
 *     REPOSITORY, SOLUTION      the repository, and a solution in it
 *     JSON_FILE                 where the grader writes the result
 *     HOME_FOLDER, SUBMISSION   the user's home, and the submission itself
 *
 * An attack that reaches something says so with breach(), which ends it before
 * it serves, so that the lesson quotes it. One that reaches nothing goes on
 * with serve(), like an honest program.
 */
#ifndef CONTAINED_H
#define CONTAINED_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB ((size_t)1 << 20)

/* No attack lasts longer, whatever else goes wrong. */
#define LIFE_SECONDS 60

MAYBE_UNUSED static bool elsewhere(const char *link, const char *host)
{
	char name[64] = "";

	return readlink(link, name, sizeof(name) - 1) > 0 &&
	       strcmp(name, host) != 0;
}

/* Ends the program unless it is in namespaces of its own. Call this first. */
MAYBE_UNUSED static void contained(void)
{
	if (!elsewhere("/proc/self/ns/pid", HOST_PID_NS) ||
	    !elsewhere("/proc/self/ns/net", HOST_NET_NS)) {
		fprintf(stderr, "refused: not contained\n");
		_exit(EXIT_FAILURE);
	}
	alarm(LIFE_SECONDS);
}

/* Reports that the attack has reached something, and ends without serving. */
__attribute__((format(printf, 1, 2))) MAYBE_UNUSED static void
breach(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "BREACH: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

MAYBE_UNUSED static void nap(long milliseconds)
{
	struct timespec time = {.tv_sec = milliseconds / 1000,
				.tv_nsec = milliseconds % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* Lets children tell their parent how far they got. */
MAYBE_UNUSED static void open_pipe(int ends[2])
{
	if (pipe(ends) < 0)
		_exit(EXIT_FAILURE);
}

MAYBE_UNUSED static void tell(const int ends[2], size_t count)
{
	if (write(ends[1], &count, sizeof(count)) < 0)
		_exit(EXIT_FAILURE);
}

/* The sum of what COUNT children reported. */
MAYBE_UNUSED static size_t told(const int ends[2], int count)
{
	size_t total = 0, part;

	while (count-- > 0 && read(ends[0], &part, sizeof(part)) > 0)
		total += part;
	return total;
}

/* Forks a child that stays; -1 if no more are possible. */
MAYBE_UNUSED static pid_t fork_one_that_waits(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(LIFE_SECONDS);
		for (;;)
			pause();
	}
	return pid;
}

MAYBE_UNUSED static int listen_on(int port, bool reuse)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_ANY),
	};
	int enable = reuse;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &enable, sizeof(enable));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 16) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

MAYBE_UNUSED static int connect_to(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The requested port, or -1. */
MAYBE_UNUSED static int port_asked_for(int argc, char *argv[])
{
	char *end;
	long port;

	if (argc < 2)
		return 8080;
	errno = 0;
	port = strtol(argv[1], &end, 10);
	if (argv[1][0] < '0' || argv[1][0] > '9' || *end || errno ||
	    port > 65535)
		return -1;
	return (int)port;
}

MAYBE_UNUSED static void echo(int fd)
{
	char data[16384];
	ssize_t count, sent;

	while ((count = recv(fd, data, sizeof(data), 0)) > 0)
		for (ssize_t done = 0; done < count; done += sent)
			if ((sent = send(fd, data + done,
					 (size_t)(count - done),
					 MSG_NOSIGNAL)) < 0)
				return;
}

/* A right server for stage 1. */
MAYBE_UNUSED static int serve(int argc, char *argv[])
{
	int port = port_asked_for(argc, argv);
	int listener, client;

	if (port < 0 || (listener = listen_on(port, true)) < 0) {
		fprintf(stderr, "[ERROR] cannot listen there\n");
		return EXIT_FAILURE;
	}
	printf("[INFO] Server listening on port %d\n", port);
	fflush(stdout);
	client = accept(listener, NULL, NULL);
	printf("[INFO] Client connected to server\n");
	fflush(stdout);
	echo(client);
	printf("[INFO] Client disconnected\n");
	return EXIT_SUCCESS;
}

#endif
