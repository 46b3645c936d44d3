/* A failed check under Criterion. */
#include "support/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    /* Criterion leaves a test by a jump, which only the test's own thread may take. */
    if (gettid() != getpid()) abort();
    cr_assert_fail("%s:%d: %s", file, line, text);
    abort();
}
