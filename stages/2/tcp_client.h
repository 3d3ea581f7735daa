#ifndef TCP_CLIENT_H
#define TCP_CLIENT_H

#include <stddef.h>
#include <stdio.h>

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT 8080

/* The port that TEXT spells (a number from 0 to 65535), or -1 if it spells
 * none. */
int parse_port(const char *text);

/*
 * A socket connected to PORT of HOST, a dotted IPv4 address such as
 * "127.0.0.1"; or -1, with errno set, and nothing left open.
 */
int connect_to_server(const char *host, int port);

/* Sends all LENGTH bytes of DATA: 0, or -1 with errno set. No signal is raised.
 */
int send_all(int sock_fd, const char *data, size_t length);

/*
 * Receives exactly LENGTH bytes into DATA: 0; or -1 with errno set, which is
 * ECONNRESET too when the server closes before the last byte.
 */
int recv_all(int sock_fd, char *data, size_t length);

/*
 * For each line of INPUT: sends it, receives as many bytes, and writes them to
 * OUTPUT. At the end of INPUT 0; or -1, with errno set.
 */
int echo_lines(int sock_fd, FILE *input, FILE *output);

#endif
