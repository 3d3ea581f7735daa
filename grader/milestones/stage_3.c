/* The milestones of stage 3: one for each function that tcp_server.h names. */
#include "milestones.h"
#include "tcp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#pragma weak parse_port
#pragma weak create_server
#pragma weak raise_descriptor_limit
#pragma weak set_nonblocking
#pragma weak create_loop
#pragma weak loop_attach
#pragma weak loop_run

START_TEST(test_parse_port)
{
	NEED(parse_port);
	ck_assert_msg(parse_port("8080") == 8080,
		      "parse_port(\"8080\") returned %d", parse_port("8080"));
	ck_assert_msg(parse_port("80a") == -1 && parse_port("65536") == -1,
		      "\"80a\" and \"65536\" are no ports");
}
END_TEST

START_TEST(test_create_server)
{
	int fd, port, reuses = 0;
	int probe = listen_somewhere(&port);
	socklen_t size = sizeof(reuses);

	NEED(create_server);
	close(probe);
	fd = create_server(port);
	ck_assert_msg(fd >= 0, "create_server(%d) returned %d: %s", port, fd,
		      strerror(errno));
	ck_assert_msg(port_of(fd) == port,
		      "asked for port %d, the socket has port %d", port,
		      port_of(fd));
	getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuses, &size);
	ck_assert_msg(reuses, "SO_REUSEADDR is not set");
}
END_TEST

START_TEST(test_raise_descriptor_limit)
{
	struct rlimit limit;

	NEED(raise_descriptor_limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 32;
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_msg(raise_descriptor_limit() == 0,
		      "raise_descriptor_limit() failed: %s", strerror(errno));
	getrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_msg(limit.rlim_cur == limit.rlim_max,
		      "the soft limit is %llu, the hard one %llu",
		      (unsigned long long)limit.rlim_cur,
		      (unsigned long long)limit.rlim_max);
}
END_TEST

START_TEST(test_set_nonblocking)
{
	char byte;
	int pair[2], flags;

	NEED(set_nonblocking);
	connect_pair(pair);
	ck_assert_msg(set_nonblocking(pair[0]) == 0,
		      "set_nonblocking() failed: %s", strerror(errno));
	flags = fcntl(pair[0], F_GETFL);
	ck_assert_msg(flags & O_NONBLOCK,
		      "O_NONBLOCK is not among the file's status flags");
	ck_assert_msg(recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN,
		      "recv() with nothing to receive does not say EAGAIN");
	ck_assert_msg(set_nonblocking(-1) == -1,
		      "set_nonblocking() of a bad descriptor is not -1");
}
END_TEST

START_TEST(test_create_loop)
{
	struct epoll_event event;
	int epoll_fd;

	NEED(create_loop);
	epoll_fd = create_loop();
	ck_assert_msg(epoll_fd >= 0, "create_loop() returned %d: %s", epoll_fd,
		      strerror(errno));
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 0) == 0,
		      "epoll_wait() on it does not say that nothing happened");
}
END_TEST

START_TEST(test_loop_attach)
{
	struct epoll_event event = {0};
	int pair[2], owner;
	int epoll_fd = epoll_create1(0);

	NEED(loop_attach);
	connect_pair(pair);
	ck_assert_msg(loop_attach(epoll_fd, pair[0], EPOLLIN, &owner) == 0,
		      "loop_attach() failed: %s", strerror(errno));
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 0) == 0,
		      "watched for EPOLLIN and with nothing to read, it is "
		      "reported already");
	ck_assert_msg(send(pair[1], "x", 1, 0) == 1, "the test cannot send");
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 1000) == 1,
		      "a byte has come, and epoll_wait() does not report it");
	ck_assert_msg(event.data.ptr == &owner,
		      "the event does not hand back OWNER in data.ptr");
	ck_assert_msg(loop_attach(epoll_fd, -1, EPOLLIN, &owner) == -1,
		      "loop_attach() of a bad descriptor is not -1");
}
END_TEST

/* Starts loop_run() in a process of its own, which ends with an alarm: the port
 * that it serves. */
static int serve_in_background(void)
{
	int port;
	int listener = listen_somewhere(&port);
	int epoll_fd = epoll_create1(0);

	fcntl(listener, F_SETFL, O_NONBLOCK);
	if (fork() == 0) {
		alarm(3);
		loop_run(epoll_fd, listener);
		_exit(1);
	}
	close(listener);
	close(epoll_fd);
	return port;
}

START_TEST(test_loop_run)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval second = {.tv_sec = 2};
	int clients[2];

	NEED(loop_run);
	address.sin_port = htons((uint16_t)serve_in_background());
	for (int i = 0; i < 2; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(clients[i], SOL_SOCKET, SO_RCVTIMEO, &second,
			   sizeof(second));
		ck_assert_msg(connect(clients[i], (struct sockaddr *)&address,
				      sizeof(address)) == 0,
			      "client %d cannot connect: %s", i + 1,
			      strerror(errno));
	}
	ck_assert_msg(send(clients[1], "hello", 5, MSG_NOSIGNAL) == 5,
		      "the test itself cannot send");
	receive_expected(clients[1], "hello", 5,
			 "to the second client, while the first is silent");
}
END_TEST

int main(int argc, char *argv[])
{
	const struct milestone milestones[] = {
		{"parse_port", test_parse_port},
		{"create_server", test_create_server},
		{"raise_descriptor_limit", test_raise_descriptor_limit},
		{"set_nonblocking", test_set_nonblocking},
		{"create_loop", test_create_loop},
		{"loop_attach", test_loop_attach},
		{"loop_run", test_loop_run},
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]),
			      argc > 1 ? argv[1] : "/dev/stdout");
}
