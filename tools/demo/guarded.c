/* The same call through weir: the preset's order and its policies, but for a retry and a breaker that suit
 * this origin and outages of seconds. What differs from a default says why. */
#include "pace.h"
#include "sides.h"

#include <stdio.h>
#include <string.h>
#include <weir/curl.h>

#define OPEN_MS 20
#define OPEN_MAX_MS 40

/* A little more than the origin works on at a time; a burst may wait. */
enum { AT_ONCE = 12, IN_LINE = 20, ATTEMPTS = 4 };

void guarded_footer(void)
{
    printf("guarded: weir_curl_perform, weir_pipeline_standard: a deadline of %.0f ms, %d calls at once, %d "
           "in line;\n"
           "         set by hand: up to %d attempts, a budget of one retry a call; breaker: window 1 s, open "
           "%d to\n"
           "         %d ms, one probe, no ramp.\n",
        (double)DEADLINE_NS / 1e6, AT_ONCE, IN_LINE, ATTEMPTS, OPEN_MS, OPEN_MAX_MS);
}

/* The callers only read and the origin's errors are cheap: up to one retry a call is worth it, at most twice
 * the load. The default, 20 %, suits callees that are dear to ask. */
static enum weir_error create_retry(struct weir_policy **retry)
{
    struct weir_budget *budget = NULL;
    enum weir_error error = weir_budget_create(WEIR_CONFIG(weir_budget_config, .percent = 100), &budget);
    if (error) return error;
    error = weir_retry_create(
        WEIR_CONFIG(weir_retry_config, .attempts = ATTEMPTS, .base_ns = 5 * WEIR_MS, .budget = budget),
        retry);
    weir_budget_release(budget);
    return error;
}

/* A probe every OPEN_MAX_MS costs this origin nothing, and the callers of an origin that has come back that much
 * at most. It comes back warm: there is nothing to ramp up, and one answer is enough to know. */
static enum weir_error create_breaker(struct weir_policy **breaker)
{
    return weir_breaker_create(
        WEIR_CONFIG(weir_breaker_config, .window_ns = 1 * WEIR_S, .open_ns = OPEN_MS * WEIR_MS,
            .open_max_ns = OPEN_MAX_MS * WEIR_MS, .probes = 1, .probe_ns = 1 * WEIR_S, .ramp_ns = WEIR_OFF),
        breaker);
}

/* Puts the policy in the place of the one of its kind. */
static void replace(struct weir_policy **order, size_t count, struct weir_policy *policy)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(weir_policy_kind(order[i]), weir_policy_kind(policy)) == 0) order[i] = policy;
}

static enum weir_error create_around(const struct weir_pipeline *standard, struct guard *guard)
{
    struct weir_policy *order[WEIR_POLICIES_MAX], *retry = NULL;
    size_t count = weir_pipeline_count(standard);
    for (size_t i = 0; i < count; i++) order[i] = weir_pipeline_policy(standard, i);
    enum weir_error error = create_retry(&retry);
    if (!error) error = create_breaker(&guard->breaker);
    if (!error) {
        replace(order, count, retry);
        replace(order, count, guard->breaker);
        error = weir_pipeline_create(
            WEIR_CONFIG(weir_pipeline_config, .name = "origin"), order, count, &guard->pipeline);
    }
    weir_policy_release(retry); /* the pipeline has its own reference */
    return error;
}

static enum weir_error create(struct guard *guard)
{
    struct weir_pipeline *standard;
    enum weir_error error =
        weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .name = "origin", .deadline_ns = DEADLINE_NS,
                                   .concurrency = AT_ONCE, .queue = IN_LINE),
            &standard);
    if (error) return error;
    error = create_around(standard, guard);
    weir_pipeline_destroy(standard);
    return error;
}

bool guard_open(struct guard *guard)
{
    *guard = (struct guard) { .opened_ns = monotonic_ns() };
    enum weir_error error = create(guard);
    if (!error) return true;
    fprintf(stderr, "weir-demo: %s: %s\n", weir_error_name(error), weir_error_text());
    guard_close(guard);
    return false;
}

void guard_close(struct guard *guard)
{
    weir_pipeline_destroy(guard->pipeline);
    weir_policy_release(guard->breaker);
    *guard = (struct guard) { 0 };
}

enum answered guarded_call(struct client *client, struct arrival arrival, void *argument)
{
    const struct guard *guard = argument;
    struct weir_context context; /* the deadline counts from the arrival, not from this line */
    weir_context_child(&context, NULL, arrival.at_ns + DEADLINE_NS, NULL);
    struct weir_outcome outcome = weir_curl_perform(guard->pipeline,
        WEIR_CONFIG(weir_curl_options, .body = &client->body,
            .call = WEIR_CONFIG(weir_call_options, .idempotent = true, .context = &context)),
        client->easy);
    return outcome.status == WEIR_OK && outcome.code == 200 ? FRESH : IN_VAIN;
}

/* Its state tells what the next call would find: an open time that is over reads as half open, although nobody
 * has come for the probe yet, and its clock says open until somebody does. */
static enum weir_breaker_state state_of(const struct weir_breaker_stats *stats)
{
    bool due = stats->opened + stats->reopened > stats->half_opened;
    return stats->state == WEIR_BREAKER_HALF_OPEN && due ? WEIR_BREAKER_OPEN : stats->state;
}

/* The breaker's clock begins with its first failure; before that it was closed. */
struct breaker_times guard_times(const struct guard *guard)
{
    uint64_t now_ns = monotonic_ns();
    struct weir_breaker_stats stats = weir_breaker_stats(guard->breaker, now_ns);
    struct breaker_times times = { .state = state_of(&stats) };
    double closed = (double)(now_ns - guard->opened_ns) / 1e9;
    if (stats.changed_ns && stats.changed_ns < now_ns)
        stats.spent_ns[times.state] += now_ns - stats.changed_ns;
    for (int state = WEIR_BREAKER_OPEN; state <= WEIR_BREAKER_RAMP; state++)
        closed -= times.seconds[state] = (double)stats.spent_ns[state] / 1e9;
    times.seconds[WEIR_BREAKER_CLOSED] = closed;
    return times;
}

double guard_open_s(void)
{
    return OPEN_MAX_MS / 1e3;
}
