/* What the milestones of all stages share. */
#ifndef MILESTONES_H
#define MILESTONES_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

struct milestone {
	const char *name; /* of the student's function */
	const TTest *test;
	const char *if_stuck; /* what else to say if it hangs, or NULL */
};

/* The milestone that tests FUNCTION, with more fields if needed:
 * MILESTONE(recv_all, .if_stuck = "..."). */
#define MILESTONE(function, ...)                                               \
	{                                                                      \
		.name = #function, .test = test_##function, __VA_ARGS__        \
	}

/* Ends the test unless the student has this function (declared weak). */
#define NEED(function)                                                         \
	do {                                                                   \
		if (!(function))                                               \
			ck_abort_msg("there is no function " #function         \
				     "() (or it is static)");                  \
	} while (0)

/*
 * From now on the student's send(), write(), recv() and read() move at most
 * this many bytes at a time, and sometimes fail with EINTR, as they may. 0 ends
 * that.
 */
void set_short_counts(size_t most);

/* Puts the two ends of a TCP connection over loopback into PAIR. */
void connect_pair(int pair[2]);

/* Opens a socket for the test that listens on a free port of 127.0.0.1. */
int listen_somewhere(int *port);

/* Connects a client to PORT of 127.0.0.1. */
int connect_to(int port);

/* The port that FD is bound to. */
int port_of(int fd);

/* The number that the next descriptor will get: if it is the same before and
 * after, nothing was left open. */
int next_descriptor(void);

/* Starts a process that sends back in capitals what it receives from FD, until
 * the end. Closes the caller's copy of FD. */
void answer_in_background(int fd);

/* Sends LENGTH bytes of DATA to FD, for the test. */
void send_to(int fd, const char *data, size_t length);

/* Receives LENGTH bytes from FD, or fails the test and says what was wrong. */
void receive_expected(int fd, const char *expected, size_t length,
		      const char *what);

/* Tests of functions that several stages share. */
void try_parse_port(int (*parse_port)(const char *text));
void try_create_server(int (*create_server)(int port));
void try_send_all(int (*send_all)(int fd, const char *data, size_t length));

/*
 * Runs COUNT milestones, each in its own process, and returns an exit status.
 * When all are done, writes the results to standard output: for each milestone
 * a line "TOKEN passed NAME" or "TOKEN failed NAME MESSAGE", and then "TOKEN
 * end". TOKEN is read from standard input; only this process and the grader
 * know it.
 */
int run_milestones(const struct milestone milestones[], size_t count);

#endif
