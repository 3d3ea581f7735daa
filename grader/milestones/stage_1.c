/* The milestones of stage 1: one for each function that tcp_server.h names. */
#include "milestones.h"
#include "tcp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#pragma weak parse_port
#pragma weak create_server
#pragma weak accept_client
#pragma weak send_all
#pragma weak echo_client

START_TEST(test_parse_port)
{
	static const char *const wrong[] = {"",   "port",  "80a",
					    "-1", "65536", "99999999999999999"};

	NEED(parse_port);
	ck_assert_msg(parse_port("8080") == 8080,
		      "parse_port(\"8080\") returned %d", parse_port("8080"));
	ck_assert_msg(parse_port("0") == 0 && parse_port("65535") == 65535,
		      "0 and 65535 are ports, too");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(parse_port(wrong[i]) == -1,
			      "parse_port(\"%s\") returned %d, not -1",
			      wrong[i], parse_port(wrong[i]));
}
END_TEST

START_TEST(test_create_server)
{
	int fd, probe, port, listens = 0, reuses = 0;
	struct sockaddr_in address = {0};
	socklen_t size = sizeof(int), length = sizeof(address);

	NEED(create_server);
	probe = listen_somewhere(&port);
	errno = 0;
	ck_assert_msg(create_server(port) == -1 && errno == EADDRINUSE,
		      "create_server() on a port that is taken did not return "
		      "-1 with EADDRINUSE (errno says: %s)",
		      strerror(errno));
	close(probe);
	fd = create_server(port);
	ck_assert_msg(fd >= 0, "create_server(%d) returned %d: %s", port, fd,
		      strerror(errno));
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
	ck_assert_msg(listens, "the socket does not listen");
	ck_assert_msg(port_of(fd) == port,
		      "asked for port %d, the socket has port %d", port,
		      port_of(fd));
	getsockname(fd, (struct sockaddr *)&address, &length);
	ck_assert_msg(address.sin_addr.s_addr == htonl(INADDR_ANY),
		      "the socket has only the address %s",
		      inet_ntoa(address.sin_addr));
	size = sizeof(reuses);
	getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuses, &size);
	ck_assert_msg(reuses, "SO_REUSEADDR is not set");
}
END_TEST

START_TEST(test_accept_client)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int port, conn_sock_fd;
	int listener = listen_somewhere(&port);
	int client = socket(AF_INET, SOCK_STREAM, 0);

	NEED(accept_client);
	address.sin_port = htons((uint16_t)port);
	ck_assert_msg(connect(client, (struct sockaddr *)&address,
			      sizeof(address)) == 0,
		      "the test itself cannot connect");
	conn_sock_fd = accept_client(listener);
	ck_assert_msg(conn_sock_fd >= 0, "accept_client() returned %d: %s",
		      conn_sock_fd, strerror(errno));
	ck_assert_msg(conn_sock_fd != listener,
		      "accept_client() returned the listening socket");
	ck_assert_msg(send(client, "x", 1, 0) == 1, "the test cannot send");
	receive_expected(conn_sock_fd, "x", 1, "over the accepted connection");
	ck_assert_msg(accept_client(-1) == -1,
		      "accept_client() of a bad descriptor did not return -1");
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
	/* Now nobody is there; the second of these finds out. */
	close(pair[1]);
	connect_pair(pair);
	close(pair[1]);
	send_all(pair[0], text, sizeof(text));
	usleep(10000);
	ck_assert_msg(send_all(pair[0], text, sizeof(text)) == -1,
		      "send_all() to a client that has gone is not -1");
}
END_TEST

START_TEST(test_echo_client)
{
	static const char text[] = "every byte,\0 NUL too, comes back\n";
	int pair[2], result;

	NEED(echo_client);
	connect_pair(pair);
	ck_assert_msg(send(pair[1], text, sizeof(text), 0) == sizeof(text),
		      "the test itself cannot send");
	shutdown(pair[1], SHUT_WR);
	set_short_counts(5);
	result = echo_client(pair[0]);
	set_short_counts(0);
	ck_assert_msg(result == 0,
		      "echo_client() returned %d at the end of the input",
		      result);
	shutdown(pair[0], SHUT_WR);
	receive_expected(pair[1], text, sizeof(text), "echo_client()");
}
END_TEST

int main(int argc, char *argv[])
{
	const struct milestone milestones[] = {
		{"parse_port", test_parse_port},
		{"create_server", test_create_server},
		{"accept_client", test_accept_client},
		{"send_all", test_send_all},
		{"echo_client", test_echo_client},
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]),
			      argc > 1 ? argv[1] : "/dev/stdout");
}
