/* Which process this is: a number that a fork changes. 0: forks would go unnoticed (no memory to watch for them), so
 * that nothing may be kept that a child must not touch. */
#ifndef WEIR_LIB_CURL_PROCESS_H
#define WEIR_LIB_CURL_PROCESS_H

unsigned process_number(void);

#endif
