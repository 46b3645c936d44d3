/* Recording a latency, net of drawing the latency. */
#include "bench.h"

#include <weir/histogram.h>

static void *create(void)
{
    struct weir_histogram *histogram;
    created(weir_histogram_create(&histogram), "a histogram");
    return histogram;
}

static void destroy(void *histogram)
{
    weir_histogram_destroy(histogram);
}

/* Knuth's MMIX generator; its upper bits: 0 to 1 ms, so that the steps are hit at random. */
static inline uint64_t draw_ns(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 44;
}

static uint64_t record(void *histogram, uint64_t n)
{
    uint64_t state = 1;
    for (uint64_t i = 0; i < n; i++) {
        weir_histogram_record(histogram, draw_ns(&state));
    }
    return n;
}

static uint64_t draw(void *subject, uint64_t n)
{
    uint64_t state = 1;
    (void)subject;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t value_ns = draw_ns(&state);
        __asm__ volatile("" : : "r"(value_ns)); /* as the call would use it */
    }
    return n;
}

const struct row histogram_rows[] = {
    { .name = "histogram/record",
        .threads = 1,
        .work = { record, create, destroy },
        .without = { .run = draw },
        .reach_unit = 0.10 },
    { .name = NULL },
};
