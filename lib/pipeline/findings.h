/* A list of findings with room for some of them and a count of all. */
#ifndef WEIR_LIB_FINDINGS_H
#define WEIR_LIB_FINDINGS_H

#include "pipeline/prose.h"

#include <weir/pipeline.h>

struct findings {
    struct weir_finding *list;
    size_t max, count;
};

__attribute__((format(printf, 4, 5))) void findings_add(
    struct findings *findings, enum weir_finding_kind kind, uint32_t position, const char *format, ...);

#endif
