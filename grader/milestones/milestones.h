/* What the milestones of all stages share. */
#ifndef MILESTONES_H
#define MILESTONES_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

struct milestone {
	const char *name; /* of the student's function */
	const TTest *test;
};

/* Ends the test unless the student has such a function (declared weak). */
#define NEED(function)                                                         \
	do {                                                                   \
		if (!(function))                                               \
			ck_abort_msg("there is no function " #function "()");  \
	} while (0)

/*
 * From now on the student's send(), write(), recv() and read() move at most
 * this many bytes at a time, and fail with EINTR now and then, as they may.
 * 0 ends that.
 */
void set_short_counts(size_t most);

/* Puts the two ends of a TCP connection over loopback into PAIR. */
void connect_pair(int pair[2]);

/* A socket of the test's own that listens on a free port of 127.0.0.1. */
int listen_somewhere(int *port);

/* The port that FD is bound to. */
int port_of(int fd);

/* Starts a process that sends back all that it receives from FD, until the end;
 * the caller's copy of FD is closed. */
void echo_in_background(int fd);

/* Receives LENGTH bytes from FD, or fails the test saying what they were. */
void receive_expected(int fd, const char *expected, size_t length,
		      const char *what);

/* Runs COUNT milestones, each in a process of its own, and writes what they
 * said into the file LOG in the Test Anything Protocol: an exit status. */
int run_milestones(const struct milestone milestones[], size_t count,
		   const char *log);

#endif
