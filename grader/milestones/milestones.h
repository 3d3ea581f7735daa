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
			ck_abort_msg("there is no function " #function         \
				     "() (or it is static)");                  \
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

/* A client's connection to PORT of 127.0.0.1. */
int connect_to(int port);

/* The port that FD is bound to. */
int port_of(int fd);

/* The number that the next descriptor will get: the same before and after
 * means that nothing was left open. */
int next_descriptor(void);

/* Starts a process that answers in capitals what it receives from FD, until the
 * end; the caller's copy of FD is closed. */
void answer_in_background(int fd);

/* Sends LENGTH bytes of DATA to FD, for the test. */
void send_to(int fd, const char *data, size_t length);

/* Receives LENGTH bytes from FD, or fails the test saying what was wrong. */
void receive_expected(int fd, const char *expected, size_t length,
		      const char *what);

/* What stages have in common: tries the function, as the test of its name. */
void try_parse_port(int (*parse_port)(const char *text));
void try_create_server(int (*create_server)(int port));
void try_send_all(int (*send_all)(int fd, const char *data, size_t length));

/*
 * Runs COUNT milestones, each in a process of its own: an exit status. What
 * came out is written to the standard output when all are done: for each a line
 * "TOKEN passed NAME" or "TOKEN failed NAME MESSAGE", and then "TOKEN end".
 * TOKEN is what the standard input said, a secret between this process and the
 * grader.
 */
int run_milestones(const struct milestone milestones[], size_t count);

#endif
