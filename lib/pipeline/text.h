/* What the public functions say, at an instant that is given: they themselves read the pipeline's clock and
 * therefore live in lib/runtime. */
#ifndef WEIR_LIB_TEXT_H
#define WEIR_LIB_TEXT_H

#include <weir/pipeline.h>

char *pipeline_outcome_text(char *buffer, size_t size, const struct weir_pipeline *pipeline,
    struct weir_outcome outcome, uint64_t now_ns);
size_t pipeline_explain(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, uint64_t now_ns, char *buffer, size_t size);

#endif
