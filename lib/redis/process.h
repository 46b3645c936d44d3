/* Which process this is: a number that a fork changes. 0: forks would go unnoticed (no memory to watch for them). */
#ifndef WEIR_LIB_REDIS_PROCESS_H
#define WEIR_LIB_REDIS_PROCESS_H

#include <stdint.h>

uint32_t redis_process(void);

#endif
