/* The milestones of stage 1: one for each function that tcp_server.h names. */
#include "milestones.h"
#include "tcp_server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#pragma weak parse_port
#pragma weak create_server
#pragma weak accept_client
#pragma weak send_all
#pragma weak echo_client

START_TEST(test_parse_port)
{
	NEED(parse_port);
	try_parse_port(parse_port);
}
END_TEST

START_TEST(test_create_server)
{
	NEED(create_server);
	try_create_server(create_server);
}
END_TEST

START_TEST(test_accept_client)
{
	int port, client, conn_sock_fd;
	int listener = listen_somewhere(&port);

	NEED(accept_client);
	client = connect_to(port);
	conn_sock_fd = accept_client(listener);
	ck_assert_msg(conn_sock_fd >= 0, "accept_client() returned %d: %s",
		      conn_sock_fd, strerror(errno));
	ck_assert_msg(conn_sock_fd != listener,
		      "accept_client() returned the listening socket");
	send_to(client, "x", 1);
	receive_expected(conn_sock_fd, "x", 1, "over the accepted connection");
	ck_assert_msg(accept_client(-1) == -1,
		      "accept_client() of a bad descriptor did not return -1");
}
END_TEST

START_TEST(test_send_all)
{
	NEED(send_all);
	try_send_all(send_all);
}
END_TEST

START_TEST(test_echo_client)
{
	static const char text[] = "every byte,\0 NUL too, comes back\n";
	int pair[2], result;

	NEED(echo_client);
	connect_pair(pair);
	send_to(pair[1], text, sizeof(text));
	shutdown(pair[1], SHUT_WR);
	set_short_counts(5);
	result = echo_client(pair[0]);
	set_short_counts(0);
	ck_assert_msg(result == 0,
		      "echo_client() returned %d, not 0, to a client that "
		      "closed its side: %s (here recv() and send() move 5 "
		      "bytes at a time, and are interrupted now and then)",
		      result, strerror(errno));
	shutdown(pair[0], SHUT_WR);
	receive_expected(pair[1], text, sizeof(text),
			 "back from echo_client()");
}
END_TEST

int main(void)
{
	const struct milestone milestones[] = {
		MILESTONE(parse_port),    MILESTONE(create_server),
		MILESTONE(accept_client), MILESTONE(send_all),
		MILESTONE(echo_client),
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]));
}
