/* For the examples: ends the program with status 1, and says where, if what it shows is not so. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition) ((condition) ? (void)0 : expect_failed(__FILE__, __LINE__, #condition))

static inline void expect_failed(const char *file, int line, const char *condition)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    exit(1);
}

#endif
