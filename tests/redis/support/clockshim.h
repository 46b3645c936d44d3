/* What a process under clockshim.so maps from the file that the environment's WEIR_CLOCKSHIM names. Both words are
 * read anew by each look at the clock. */
#ifndef WEIR_TESTS_CLOCKSHIM_H
#define WEIR_TESTS_CLOCKSHIM_H

#include <stdint.h>

struct clockshim {
    int64_t offset_us; /* added to the wall clock */
    int64_t frozen_us; /* not 0: the wall clock stands there, and nothing is added */
};

#endif
