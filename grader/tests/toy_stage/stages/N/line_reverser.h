#ifndef LINE_REVERSER_H
#define LINE_REVERSER_H

#include <stddef.h>

#define BACKLOG 5      /* connections the kernel keeps until we accept them */
#define LINE_SIZE 1024 /* bytes of the longest line */

/*
 * A socket that listens on PORT of every IPv4 address of this machine, and
 * that can be opened again at once after the server has ended; or -1, with
 * errno set, and nothing left open.
 */
int create_server(int port);

/* Reverses the LENGTH bytes of LINE; a newline at the end stays there. */
void reverse_line(char *line, size_t length);

#endif
