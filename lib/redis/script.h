/* The scripts, as they lie in scripts/; the build makes them text (cmake/WeirScripts.cmake). */
#ifndef WEIR_LIB_REDIS_SCRIPT_H
#define WEIR_LIB_REDIS_SCRIPT_H

#include <stddef.h>

#define SCRIPT_SHA 40 /* hexadecimal digits of a script's name in Redis */

enum script {
    SCRIPT_RATE,
    SCRIPT_BREAKER,
    SCRIPT_BULKHEAD,
    SCRIPT_LOCK,
    SCRIPT_RENEW,
    SCRIPT_UNLOCK,
    SCRIPT_FENCE,
    SCRIPT_PROBE,
    SCRIPTS
};

struct script_text {
    const char *name, *text;
    size_t length;
};
extern const struct script_text script_texts[SCRIPTS];

#endif
