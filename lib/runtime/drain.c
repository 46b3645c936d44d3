/* Draining: nobody new, then nobody left.
 *
 * A begin stores its count and then loads `attention`, both plainly: the processor may do the load first. So
 * the drain sets attention, has every thread pass a barrier, and only then sums: each begin is then either in
 * the sum or has seen attention. Where the kernel has no such barrier the drain waits out one scheduler tick
 * more than it would. */
#include "os/os.h"
#include "pipeline/pipeline.h"

#define LOOK_FIRST_NS (50 * WEIR_US)
#define LOOK_LAST_NS (5 * WEIR_MS)
#define NO_BARRIER_NS (20 * WEIR_MS)

enum weir_error weir_pipeline_drain(struct weir_pipeline *pipeline, uint64_t deadline_ns)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_drain", "pipeline is NULL");
    atomic_or_acq_rel(&pipeline->attention, (uint32_t)ATTENTION_DRAINING);
    if (!os_barrier_everywhere()) os_sleep_until(os_now_precise() + NO_BARRIER_NS);
    for (uint64_t pause_ns = LOOK_FIRST_NS; pipeline_in_flight(pipeline) != 0;) {
        uint64_t now_ns = os_now_precise();
        if (now_ns >= deadline_ns) {
            return error_set(WEIR_E_TIMEOUT, "weir_pipeline_drain: calls are still in flight");
        }
        os_sleep_until(now_ns + pause_ns < deadline_ns ? now_ns + pause_ns : deadline_ns);
        if (pause_ns < LOOK_LAST_NS) pause_ns *= 2;
    }
    return WEIR_E_NONE;
}
