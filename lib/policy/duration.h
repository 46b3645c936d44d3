/* A duration as text, exactly, in the largest unit that has it whole: "1500 ms". */
#ifndef WEIR_LIB_DURATION_H
#define WEIR_LIB_DURATION_H

#include <weir/base.h>

#include <inttypes.h>
#include <stdio.h>

struct duration_text {
    char text[24];
};

static inline struct duration_text duration_text(uint64_t ns)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = { { WEIR_S, "s" }, { WEIR_MS, "ms" }, { WEIR_US, "us" }, { 1, "ns" } };
    struct duration_text duration;
    unsigned i = 0;
    while (ns % units[i].ns != 0) i++;
    snprintf(duration.text, sizeof duration.text, "%" PRIu64 " %s", ns / units[i].ns, units[i].name);
    return duration;
}

#endif
