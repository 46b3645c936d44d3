/* What the ready pipelines share: names of their parts, and one place that lets go of all that was made. */
#ifndef WEIR_LIB_PRESET_H
#define WEIR_LIB_PRESET_H

#include "base/check.h"
#include "base/error.h"

#include <weir/pipeline.h>

struct part_name {
    char text[WEIR_NAME_MAX + 1];
};

/* "bank" and "retry" make "bank.retry"; a name too long for both is cut. */
struct part_name part_name(const char *name, const char *part);

/* The parts that were made (the others are NULL) become a pipeline, or with an error nothing: either way the
 * caller's references to them are gone. */
enum weir_error preset_finish(enum weir_error error, const struct weir_pipeline_config *config,
    struct weir_policy *const *part, size_t count, struct weir_pipeline **pipeline);

#endif
