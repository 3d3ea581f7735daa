#ifndef TCP_SERVER_H
#define TCP_SERVER_H

#include <stddef.h>

#define DEFAULT_PORT 8080
#define BACKLOG 5       /* connections the kernel keeps until we accept them */
#define BUFF_SIZE 16384 /* bytes received at a time */

/* The port that TEXT spells (a number from 0 to 65535), or -1 if it spells
 * none. */
int parse_port(const char *text);

/*
 * A socket that listens on PORT of every IPv4 address of this machine, and
 * that can be opened again at once after the server has ended; or -1, with
 * errno set, and nothing left open.
 */
int create_server(int port);

/* The next client's connection, waited for; or -1, with errno set. */
int accept_client(int listen_sock_fd);

/* Sends all LENGTH bytes of DATA: 0, or -1 with errno set. No signal is raised.
 */
int send_all(int conn_sock_fd, const char *data, size_t length);

/* Sends back what the client sends until it has sent its last byte: 0, or -1.
 */
int echo_client(int conn_sock_fd);

#endif
