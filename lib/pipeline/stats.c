/* What the lines of all threads add up to. */
#include "pipeline/pipeline.h"

#include "base/arithmetic.h"

static uint64_t cold_sum(const struct weir_pipeline *pipeline, size_t offset)
{
    uint64_t sum = 0;
    for_each_line(line)
    {
        const char *start = (const char *)&pipeline->cold[line];
        sum += atomic_load_acquire((const uint64_t *)(const void *)(start + offset));
    }
    return sum;
}

static uint64_t cold_counter(const struct weir_pipeline *pipeline, uint32_t which)
{
    return cold_sum(pipeline, offsetof(struct pipeline_cold_line, counter) + which * sizeof(uint64_t));
}

static uint64_t cold_ended(const struct weir_pipeline *pipeline, uint32_t status)
{
    return cold_sum(pipeline, offsetof(struct pipeline_cold_line, ended) + status * sizeof(uint64_t));
}

/* Line by line, ends before begins. While calls begin on one thread and end on another the difference may be off by
 * those that do so meanwhile; once nobody begins any more (drain) it is exact. */
static void hot_sums(const struct weir_pipeline *pipeline, uint64_t *begun, uint64_t *ok)
{
    *begun = *ok = 0;
    for_each_line(line)
    {
        *ok += atomic_load_acquire(&pipeline->line[line].ok);
        *begun += atomic_load_acquire(&pipeline->line[line].begun);
    }
}

/* Ends are summed before begins, so that a call which does both meanwhile is not missing one. */
static uint64_t in_flight(const struct weir_pipeline *pipeline)
{
    uint64_t ended = cold_counter(pipeline, PIPELINE_EMPTIED), begun, ok;
    for (uint32_t i = 0; i < WEIR_STATUSES; i++) ended += cold_ended(pipeline, i);
    ended += cold_counter(pipeline, PIPELINE_ORPHANED);
    hot_sums(pipeline, &begun, &ok);
    return time_since(begun + cold_counter(pipeline, PIPELINE_LEFT), ended + ok);
}

/* For drain and destroy: who delivers a call's events still uses the pipeline. */
uint64_t pipeline_in_flight(const struct weir_pipeline *pipeline)
{
    (void)process_generation(); /* in a forked child: first gives up the parent's calls */
    uint64_t told = cold_counter(pipeline, PIPELINE_TOLD), calls = in_flight(pipeline);
    return calls + time_since(cold_counter(pipeline, PIPELINE_TELLING), told);
}

/* In a forked child: the parent's calls will not end here. */
void pipeline_forked(struct weir_pipeline *pipeline)
{
    uint64_t *counter = pipeline->cold[SHARDS].counter;
    counter[PIPELINE_ORPHANED] += in_flight(pipeline);
    counter[PIPELINE_TOLD] +=
        cold_counter(pipeline, PIPELINE_TELLING) - cold_counter(pipeline, PIPELINE_TOLD);
}

struct weir_pipeline_stats weir_pipeline_stats(const struct weir_pipeline *pipeline)
{
    WEIR_REQUIRE(pipeline != NULL, "weir_pipeline_stats", "pipeline is NULL");
    (void)process_generation();
    struct weir_pipeline_stats stats = { .in_flight = in_flight(pipeline) };
    uint64_t ok;
    for (uint32_t i = 0; i < WEIR_STATUSES; i++) stats.ended[i] = cold_ended(pipeline, i);
    for (uint32_t i = 0; i < WEIR_REASONS; i++) {
        stats.refused[i] =
            cold_sum(pipeline, offsetof(struct pipeline_cold_line, refused) + i * sizeof(uint64_t));
    }
    for (uint32_t i = 0; i < pipeline->count; i++) {
        stats.refused_by[i] =
            cold_sum(pipeline, offsetof(struct pipeline_cold_line, refused_by) + i * sizeof(uint64_t));
    }
    stats.degraded = cold_counter(pipeline, PIPELINE_DEGRADED);
    stats.late = cold_counter(pipeline, PIPELINE_LATE);
    stats.shadowed = cold_counter(pipeline, PIPELINE_SHADOWED);
    stats.abandoned = cold_counter(pipeline, PIPELINE_ABANDONED);
    stats.zombies = time_since(stats.abandoned, cold_counter(pipeline, PIPELINE_RETURNED));
    stats.foreign = cold_counter(pipeline, PIPELINE_FOREIGN);
    stats.attempts = cold_counter(pipeline, PIPELINE_ATTEMPTS);
    hot_sums(pipeline, &stats.begun, &ok);
    stats.ended[WEIR_OK] += ok;
    stats.attempts += ok;
    stats.timed = weir_histogram_count(pipeline->latency);
    if (pipeline->events != NULL) stats.events_dropped = event_ring_dropped(pipeline->events);
    return stats;
}
