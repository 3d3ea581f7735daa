/* The milestones of stage 2: one for each function that tcp_client.h names. */
#include "milestones.h"
#include "tcp_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#pragma weak parse_port
#pragma weak connect_to_server
#pragma weak send_all
#pragma weak recv_all
#pragma weak echo_lines

START_TEST(test_parse_port)
{
	NEED(parse_port);
	try_parse_port(parse_port);
}
END_TEST

/* connect_to_server() must refuse this, and leave nothing open. */
static void expect_no_connection(const char *host, int port, const char *why)
{
	int next = next_descriptor();
	int fd = connect_to_server(host, port);

	ck_assert_msg(fd == -1,
		      "connect_to_server(\"%s\", %d) returned %d, not -1, "
		      "although %s",
		      host, port, fd, why);
	ck_assert_msg(next_descriptor() == next,
		      "connect_to_server() failed and left its socket open");
}

START_TEST(test_connect_to_server)
{
	int port, fd;
	int listener = listen_somewhere(&port);

	NEED(connect_to_server);
	fd = connect_to_server("127.0.0.1", port);
	ck_assert_msg(fd >= 0,
		      "connect_to_server(\"127.0.0.1\", %d) returned %d: %s",
		      port, fd, strerror(errno));
	send_to(accept(listener, NULL, NULL), "x", 1);
	receive_expected(fd, "x", 1, "over the connection");
	expect_no_connection("127.0.0.2", port, "nobody listens there");
	expect_no_connection("not an address", port, "that is no address");
}
END_TEST

START_TEST(test_send_all)
{
	NEED(send_all);
	try_send_all(send_all);
}
END_TEST

START_TEST(test_recv_all)
{
	static const char text[] = "received in pieces, and put together";
	char data[sizeof(text)] = "";
	int pair[2], result;

	NEED(recv_all);
	connect_pair(pair);
	send_to(pair[1], text, sizeof(text));
	send_to(pair[1], "and more", 8);
	set_short_counts(7);
	result = recv_all(pair[0], data, sizeof(data));
	set_short_counts(0);
	ck_assert_msg(result == 0,
		      "recv_all() returned %d, not 0: %s (here recv() gives 7 "
		      "bytes at a time, and is interrupted now and then)",
		      result, strerror(errno));
	ck_assert_msg(memcmp(data, text, sizeof(text)) == 0,
		      "recv_all() did not put the pieces together as they "
		      "came, when recv() gave 7 bytes at a time");
	receive_expected(pair[0], "and more", 8,
			 "after what recv_all() was asked for");
	send_to(pair[1], text, 10);
	close(pair[1]);
	errno = 0;
	result = recv_all(pair[0], data, sizeof(data));
	ck_assert_msg(result == -1 && errno == ECONNRESET,
		      "the server left after 10 of %zu bytes, and recv_all() "
		      "returned %d with errno at \"%s\", not -1 with \"%s\"",
		      sizeof(data), result, strerror(errno),
		      strerror(ECONNRESET));
}
END_TEST

START_TEST(test_echo_lines)
{
	static char typed[] = "one\n\ntwo\0three\nlast, no newline";
	static const char answer[] = "ONE\n\nTWO\0THREE\nLAST, NO NEWLINE";
	size_t length = sizeof(typed) - 1;
	char *printed = NULL;
	size_t size = 0;
	int pair[2], result;
	FILE *input = fmemopen(typed, length, "r");
	FILE *output = open_memstream(&printed, &size);

	NEED(echo_lines);
	ck_assert_msg(input && output, "the test itself cannot open memory");
	connect_pair(pair);
	answer_in_background(pair[1]);
	result = echo_lines(pair[0], input, output);
	ck_assert_msg(result == 0, "echo_lines() returned %d: %s", result,
		      strerror(errno));
	fflush(output);
	ck_assert_msg(size == length,
		      "of the server's %zu bytes, %zu were written to OUTPUT "
		      "(a NUL is among them)",
		      length, size);
	ck_assert_msg(memcmp(printed, answer, length) == 0,
		      "what was written to OUTPUT is not what the server sent "
		      "(this one answers in capitals)");
	connect_pair(pair);
	close(pair[1]);
	rewind(input);
	result = echo_lines(pair[0], input, output);
	ck_assert_msg(result == -1,
		      "the server left, and echo_lines() returned %d, not -1",
		      result);
}
END_TEST

int main(void)
{
	static const char left[] =
		"the server may leave early, and that has to end it, too";
	const struct milestone milestones[] = {
		MILESTONE(parse_port),
		MILESTONE(send_all),
		MILESTONE(connect_to_server),
		MILESTONE(recv_all, .if_stuck = left),
		MILESTONE(echo_lines, .if_stuck = left),
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]));
}
