/* A response body in memory. */
#ifndef WEIR_LIB_CURL_BODY_H
#define WEIR_LIB_CURL_BODY_H

#include <weir/curl.h>

/* False: no memory. */
bool body_empty(struct weir_curl_body *body);
/* A CURLOPT_WRITEFUNCTION; argument: the body. */
size_t body_write(char *data, size_t size, size_t count, void *argument);

#endif
