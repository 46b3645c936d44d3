/* What a pipeline says of itself now: the texts are lib/pipeline's, the clock is read here. */
#include "pipeline/text.h"

#include "base/check.h"

char *weir_outcome_text(
    char *buffer, size_t size, const struct weir_pipeline *pipeline, struct weir_outcome outcome)
{
    if (size != 0) WEIR_REQUIRE(buffer != NULL, "weir_outcome_text", "buffer is NULL");
    uint64_t now_ns = pipeline == NULL ? 0 : weir_pipeline_now(pipeline);
    return pipeline_outcome_text(buffer, size, pipeline, outcome, now_ns);
}

size_t weir_pipeline_explain(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, char *buffer, size_t size)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_explain", "pipeline is NULL");
    if (size != 0) WEIR_REQUIRE(buffer != NULL, "weir_pipeline_explain", "buffer is NULL");
    return pipeline_explain(pipeline, deadline_ns, weir_pipeline_now(pipeline), buffer, size);
}
