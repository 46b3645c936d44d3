/* A child of a request's context, and whether it still lasts. The request can be canceled, so the check
 * has a source to poll. */
#include "bench.h"

#include <stdlib.h>
#include <weir/clock.h>
#include <weir/context.h>

struct request {
    struct weir_source *source;
    struct weir_context context;
};

static void *request(void)
{
    struct request *request = malloc(sizeof *request);
    require(request != NULL, "out of memory");
    created(weir_source_create(&request->source), "a source");
    weir_context_detached(&request->context, WEIR_NEVER, request->source);
    return request;
}

static void drop(void *subject)
{
    struct request *request = subject;
    weir_source_release(request->source);
    free(request);
}

static uint64_t given(void *subject, uint64_t n)
{
    const struct request *request = subject;
    struct weir_context child;
    uint64_t fine = 0, now_ns = weir_now(WEIR_TIMING_PRECISE);
    for (uint64_t i = 0; i < n; i++, now_ns++) {
        weir_context_child(&child, &request->context, now_ns + WEIR_S, NULL);
        fine += weir_context_check(&child, now_ns) == WEIR_OK;
    }
    return fine;
}

static uint64_t coarse(void *subject, uint64_t n)
{
    const struct request *request = subject;
    struct weir_context child;
    uint64_t fine = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t now_ns = weir_now(WEIR_TIMING_COARSE);
        weir_context_child(&child, &request->context, now_ns + WEIR_S, NULL);
        fine += weir_context_check(&child, now_ns) == WEIR_OK;
    }
    return fine;
}

const struct row context_rows[] = {
    { "context/child/given", 1, { given, request, drop }, .reach_unit = 0.40 },
    { "context/child/coarse", 1, { coarse, request, drop }, .reach_unit = 0.5 },
    { .name = NULL },
};
