/* An HTTP server for the examples, in a process of its own: answers one request after the other with the next status
 * of a list, and with the last from then on. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <sys/types.h>

/* It ends after so many requests. Writes its URL. */
pid_t http_server_start(const int *statuses, int count, int requests, char url[static 64]);

#endif
