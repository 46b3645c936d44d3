/* What the command line said, and how the demo ends. */
#ifndef DEMO_OPTIONS_H
#define DEMO_OPTIONS_H

#include <stdint.h>

struct incident;

struct options {
    double seconds;
    const struct incident *incident; /* NULL: the phases */
    const char *json;                /* NULL: none */
    const char *plot;                /* the name of its files without their endings; NULL: none */
    const char *origin;              /* the program weir-origin */
    uint64_t seed;
};

enum exit_status { EXIT_GOOD = 0, EXIT_WORSE = 1, EXIT_BROKEN = 2, EXIT_INTERRUPTED = 130 };

#endif
