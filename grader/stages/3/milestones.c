/* The milestones of stage 3: one for each function that tcp_server.h names. */
#include "milestones.h"
#include "tcp_server.h"

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
	try_parse_port(parse_port);
}
END_TEST

START_TEST(test_create_server)
{
	NEED(create_server);
	try_create_server(create_server);
}
END_TEST

START_TEST(test_raise_descriptor_limit)
{
	struct rlimit limit;
	rlim_t hard;

	NEED(raise_descriptor_limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	hard = limit.rlim_max;
	limit.rlim_cur = 32;
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_msg(raise_descriptor_limit() == 0,
		      "raise_descriptor_limit() failed: %s", strerror(errno));
	getrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_msg(limit.rlim_cur == hard,
		      "the soft limit is %llu now, and the hard one was %llu",
		      (unsigned long long)limit.rlim_cur,
		      (unsigned long long)hard);
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
	ck_assert_msg(
		set_nonblocking(-1) == -1,
		"set_nonblocking() of a bad descriptor did not return -1");
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

/* Attaches FD for EVENTS with itself as its owner. */
static void attach(int epoll_fd, int *fd, uint32_t events)
{
	ck_assert_msg(loop_attach(epoll_fd, *fd, events, fd) == 0,
		      "loop_attach() failed: %s", strerror(errno));
}

START_TEST(test_loop_attach)
{
	struct epoll_event event = {0};
	int pair[2];
	int epoll_fd = epoll_create1(0);

	NEED(loop_attach);
	connect_pair(pair);
	attach(epoll_fd, &pair[0], EPOLLIN);
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 0) == 0,
		      "watched for EPOLLIN and with nothing to read, it is "
		      "reported already");
	send_to(pair[1], "x", 1);
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 1000) == 1,
		      "a byte has come, and epoll_wait() does not report it");
	ck_assert_msg(event.data.ptr == &pair[0],
		      "the event does not hand back OWNER in data.ptr");
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 0) == 1,
		      "with the byte still unread, the next epoll_wait() does "
		      "not report it (EVENTS said EPOLLIN and nothing else)");
	receive_expected(pair[0], "x", 1, "to the socket that is watched");
	attach(epoll_fd, &pair[1], EPOLLOUT);
	ck_assert_msg(epoll_wait(epoll_fd, &event, 1, 1000) == 1,
		      "watched for EPOLLOUT and with room to send, it is not "
		      "reported");
	ck_assert_msg(loop_attach(epoll_fd, -1, EPOLLIN, NULL) == -1,
		      "loop_attach() of a bad descriptor did not return -1");
}
END_TEST

/* Starts loop_run() in a process of its own, which an alarm ends. Returns the
 * port that it serves. */
static int serve_in_background(void)
{
	int port;
	int listener = listen_somewhere(&port);
	int epoll_fd = epoll_create1(0);
	pid_t pid;

	fcntl(listener, F_SETFL, O_NONBLOCK);
	pid = fork();
	ck_assert_msg(pid >= 0, "the test itself cannot fork");
	if (pid == 0) {
		alarm(4);
		loop_run(epoll_fd, listener);
		_exit(1);
	}
	close(listener);
	close(epoll_fd);
	return port;
}

/* Sends a line to loop_run() and expects it back. */
static void converse(int client, const char *what)
{
	send_to(client, "hello\n", 6);
	receive_expected(client, "hello\n", 6, what);
}

START_TEST(test_loop_run)
{
	char byte;
	int port, first, second;

	NEED(loop_run);
	port = serve_in_background();
	first = connect_to(port);
	second = connect_to(port);
	converse(second, "to the second client, while the first is silent");
	converse(second, "to the second client, which speaks again");
	shutdown(second, SHUT_WR);
	ck_assert_msg(recv(second, &byte, 1, 0) == 0,
		      "a client has closed its side, and the server does not "
		      "close the connection");
	converse(first, "to the first client, after the second has left");
}
END_TEST

int main(void)
{
	const struct milestone milestones[] = {
		MILESTONE(parse_port),      MILESTONE(create_server),
		MILESTONE(create_loop),     MILESTONE(loop_attach),
		MILESTONE(loop_run),        MILESTONE(raise_descriptor_limit),
		MILESTONE(set_nonblocking),
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]));
}
