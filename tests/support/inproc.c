/* The runner without fork: what test.h stands on where Criterion cannot go (ThreadSanitizer). Tests
 * run in the order of the sources; the first failed check ends the process, so that no test runs on
 * what a failed one left behind. */
#include "support/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct check_test *first, **last = &first;
static const struct check_test *running;
static int passed;

void check_register(struct check_test *test)
{
    *last = test;
    last = &test->next;
}

void check_failed(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    printf("FAILED %s/%s\n%d passed, 1 failed\n", running->suite, running->name, passed);
    fflush(NULL);
    _exit(1); /* perhaps not the main thread's: no destructor may run beside it */
}

int main(void)
{
    for (running = first; running; running = running->next) {
        running->run();
        passed++;
    }
    printf("%d passed, 0 failed\n", passed);
    return passed > 0 ? 0 : 1;
}
