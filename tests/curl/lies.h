/* The lies that are told to weir-curl, what may come of each, and what must not be left behind. */
#ifndef CURL_LIES_H
#define CURL_LIES_H

#include "liars/liar.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <weir/curl.h>
#include <weir/weir.h>

/* A liar would take a minute, or for ever. A call that has BRIEFLY must have ended after a time that no load of the
 * machine explains; the tight figures are the benchmark's (rows deadline/). */
#define BRIEFLY (600 * WEIR_MS)
#define LONG (60 * WEIR_S)
#define BOUND (5 * WEIR_S)

enum { MAY_OK = 1 << WEIR_OK, MAY_FAIL = 1 << WEIR_FAILED, MAY_EXPIRE = 1 << WEIR_EXPIRED };
enum { MAY_OVERLOAD = 1 << WEIR_OVERLOADED };

struct lie {
    const char *name;
    struct liar_script script;
    unsigned may; /* the statuses that are no lie of weir's */
    size_t whole; /* the body that alone may be OK */
    bool upload;  /* asked by a POST of more than any socket takes */
    bool follow;  /* redirects are followed */
    long redirects_max;
    bool far; /* Retry-After is more than a day away; where it is not, it says nothing */
};

extern const struct lie lies[];
extern const size_t lies_count;

/* A handle that asks this liar; upload is what curl_slist_free_all() wants in the end. */
CURL *lie_handle(const struct lie *lie, const struct liar *liar);

/* The pipeline of these tests: timeout, retry, breaker, bulkhead, timeout, made by weir_pipeline_standard(). */
struct weir_pipeline *lie_pipeline(uint64_t deadline_ns);
void lie_pipeline_destroy(struct weir_pipeline *pipeline); /* checks that no permit is out */

/* What every outcome must be: of a status that may be, OK only with the whole body, NOT_SENT only if nothing was. */
void lie_check(const struct lie *lie, const struct liar *liar, struct weir_outcome outcome, size_t body);

/* ---- what is left behind ---- */

struct left {
    unsigned descriptors, threads;
};
struct left left_now(void);
/* Both are as they were; waits for threads that are on their last instructions. */
void left_check(const char *after, struct left before);

uint64_t now_ns(void);

#endif
