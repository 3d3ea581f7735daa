#ifndef TCP_SERVER_H
#define TCP_SERVER_H

#include <stdint.h>

#define DEFAULT_PORT 8080
#define BACKLOG 4096    /* connections the kernel keeps until we accept them */
#define BUFF_SIZE 16384 /* bytes received at a time, and kept for a client */
#define MAX_EVENTS 64   /* events taken from the kernel at a time */

/* The port that TEXT spells (a number from 0 to 65535), or -1 if it spells
 * none. */
int parse_port(const char *text);

/*
 * A socket that listens on PORT of every IPv4 address of this machine, and
 * that can be opened again at once after the server has ended; or -1, with
 * errno set, and nothing left open. (Bring yours from stage 1.)
 */
int create_server(int port);

/* Lets this process open as many descriptors as its hard limit allows: 0, or
 * -1. */
int raise_descriptor_limit(void);

/* From now on no call on FD waits, it fails with EAGAIN instead: 0, or -1. */
int set_nonblocking(int fd);

/* A new epoll instance that watches nothing yet: its descriptor, or -1. */
int create_loop(void);

/*
 * Has the loop watch FD for EVENTS (EPOLLIN and so on), and hand OWNER back in
 * the event's data.ptr: 0, or -1 with errno set.
 */
int loop_attach(int epoll_fd, int fd, uint32_t events, void *owner);

/*
 * Serves every client of LISTEN_SOCK_FD, waiting in epoll_wait() and nowhere
 * else. Returns only if the loop itself breaks: -1, with errno set.
 */
int loop_run(int epoll_fd, int listen_sock_fd);

#endif
