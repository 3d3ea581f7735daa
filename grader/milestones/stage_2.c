/* The milestones of stage 2: one for each function that tcp_client.h names. */
#include "milestones.h"
#include "tcp_client.h"

#include <errno.h>
#include <stdlib.h>
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
	ck_assert_msg(parse_port("8080") == 8080,
		      "parse_port(\"8080\") returned %d", parse_port("8080"));
	ck_assert_msg(parse_port("80a") == -1 && parse_port("65536") == -1,
		      "\"80a\" and \"65536\" are no ports");
}
END_TEST

START_TEST(test_connect_to_server)
{
	int port, fd, accepted;
	int listener = listen_somewhere(&port);

	NEED(connect_to_server);
	fd = connect_to_server("127.0.0.1", port);
	ck_assert_msg(fd >= 0, "connect_to_server() returned %d: %s", fd,
		      strerror(errno));
	accepted = accept(listener, NULL, NULL);
	ck_assert_msg(send(accepted, "x", 1, 0) == 1, "the test cannot send");
	receive_expected(fd, "x", 1, "over the connection");
	close(listener);
	ck_assert_msg(connect_to_server("127.0.0.1", port) == -1,
		      "with nobody listening it did not return -1");
	ck_assert_msg(connect_to_server("not an address", port) == -1,
		      "\"not an address\" is none, but it did not return -1");
}
END_TEST

START_TEST(test_send_all)
{
	static const char text[] = "sent in pieces, and not one of them lost";
	int pair[2], result;

	NEED(send_all);
	connect_pair(pair);
	set_short_counts(7);
	result = send_all(pair[0], text, sizeof(text));
	set_short_counts(0);
	ck_assert_msg(result == 0, "send_all() returned %d", result);
	shutdown(pair[0], SHUT_WR);
	receive_expected(pair[1], text, sizeof(text),
			 "when send() takes 7 bytes at a time");
}
END_TEST

START_TEST(test_recv_all)
{
	static const char text[] = "received in pieces, and put together";
	char data[sizeof(text)] = "";
	int pair[2], result;

	NEED(recv_all);
	connect_pair(pair);
	ck_assert_msg(send(pair[1], text, sizeof(text), 0) == sizeof(text),
		      "the test itself cannot send");
	set_short_counts(7);
	result = recv_all(pair[0], data, sizeof(data));
	set_short_counts(0);
	ck_assert_msg(result == 0, "recv_all() returned %d", result);
	ck_assert_msg(memcmp(data, text, sizeof(text)) == 0,
		      "the pieces are not put together as they came");
	ck_assert_msg(send(pair[1], text, 10, 0) == 10,
		      "the test itself cannot send");
	close(pair[1]);
	ck_assert_msg(recv_all(pair[0], data, sizeof(data)) == -1,
		      "the server left after 10 of %zu bytes, and it did not "
		      "return -1",
		      sizeof(data));
}
END_TEST

START_TEST(test_echo_lines)
{
	static const char text[] = "one\n\ntwo\0three\nlast, no newline";
	size_t length = sizeof(text) - 1;
	char *printed = NULL;
	size_t size = 0;
	int pair[2], result;
	FILE *input = fmemopen((void *)text, length, "r");
	FILE *output = open_memstream(&printed, &size);

	NEED(echo_lines);
	ck_assert_msg(input && output, "the test itself cannot open memory");
	connect_pair(pair);
	echo_in_background(pair[1]);
	result = echo_lines(pair[0], input, output);
	fclose(output);
	ck_assert_msg(result == 0, "echo_lines() returned %d: %s", result,
		      strerror(errno));
	ck_assert_msg(size == length && memcmp(printed, text, length) == 0,
		      "of %zu bytes typed, %zu were printed, or others", length,
		      size);
	free(printed);
}
END_TEST

int main(int argc, char *argv[])
{
	const struct milestone milestones[] = {
		{"parse_port", test_parse_port},
		{"connect_to_server", test_connect_to_server},
		{"send_all", test_send_all},
		{"recv_all", test_recv_all},
		{"echo_lines", test_echo_lines},
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]),
			      argc > 1 ? argv[1] : "/dev/stdout");
}
