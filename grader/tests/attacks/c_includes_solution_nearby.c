/* Includes a solution, from where the submission may lie beside it. */
#include "../../solutions/1/tcp_server.c"
