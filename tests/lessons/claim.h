/* A row program shows the claims of one row of the lessons: named one, it prints our figure in one line and
 * ends with 0 if the claim holds; without a name it shows them all, for ctest. */
#ifndef WEIR_TESTS_CLAIM_H
#define WEIR_TESTS_CLAIM_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct claim {
    const char *name;
    bool (*show)(void); /* prints without a line end */
};

static inline int claims(const struct claim *claim, size_t count, int argc, char **argv)
{
    int status = 0;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], claim[i].name) != 0) continue;
        found = true;
        if (argc == 1) printf("%s: ", claim[i].name);
        bool holds = claim[i].show();
        printf(argc == 1 ? " - %s\n" : "\n", holds ? "pass" : "fail");
        if (!holds) status = 1;
    }
    return found ? status : 2;
}

#endif
