/*
 * Answers rightly, one byte in four seconds, to keep the grader for ever, and waits
 * where servers wait. No wait of the grader's is without an end.
 */
#include "contained.h"

#include <sys/epoll.h>

int main(int argc, char *argv[])
{
	struct epoll_event event;
	int epoll_fd = epoll_create1(0);
	int fd;
	char byte;

	contained();
	alarm(10 * LIFE_SECONDS);
	fd = accept(listen_on(port_asked_for(argc, argv), true), NULL, NULL);
	while (recv(fd, &byte, 1, 0) == 1 &&
	       send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
		epoll_wait(epoll_fd, &event, 1, 4000);
	return EXIT_FAILURE;
}
