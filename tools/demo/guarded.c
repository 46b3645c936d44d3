/* The same call through weir: deadline, retry with back-off and a budget, breaker, bulkhead, and a
 * timeout for each attempt. weir_pipeline_standard() makes the same order, its times meant for
 * outages of minutes. Those of the demo last seconds, so its breaker's times are a tenth of the
 * defaults or less; what else differs from a default says why. */
#include "pace.h"
#include "sides.h"

#include <errno.h>
#include <stdio.h>

#define ATTEMPT_NS (150 * WEIR_MS) /* half the deadline: time for a second try; slow work fits in */
#define OPEN_MAX_NS (500 * WEIR_MS)
#define RAMP_NS (500 * WEIR_MS)
#define JITTER_PERCENT 20

const char guarded_footer[] =
    "guarded: the same in weir: timeout, retry with budget, breaker, bulkhead, attempt timeout;\n"
    "         sized for this origin, the breaker's times for outages of seconds.";

enum { CALL_TIMEOUT, RETRY, BREAKER, BULKHEAD, ATTEMPT_TIMEOUT, POLICIES };

static enum weir_error create_retry(struct weir_policy **retry)
{
    struct weir_budget *budget = NULL;
    /* The callers only read and the origin's errors are cheap: up to one retry a call is worth it,
     * at most twice the load. The default, 20 %, suits callees that are dear to ask. */
    enum weir_error error = weir_budget_create(WEIR_CONFIG(weir_budget_config, .percent = 100), &budget);
    if (error) return error;
    error =
        weir_retry_create(WEIR_CONFIG(weir_retry_config, .base_ns = 5 * WEIR_MS, .budget = budget), retry);
    weir_budget_release(budget);
    return error;
}

static enum weir_error create_policies(struct weir_policy *order[POLICIES])
{
    enum weir_error error = weir_timeout_create(
        WEIR_CONFIG(weir_timeout_config, .name = "call", .timeout_ns = DEADLINE_NS), &order[CALL_TIMEOUT]);
    if (!error) error = create_retry(&order[RETRY]);
    if (!error)
        error =
            weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .window_ns = 1 * WEIR_S,
                                    .open_ns = 100 * WEIR_MS, .open_max_ns = OPEN_MAX_NS, .ramp_ns = RAMP_NS,
                                    .probe_ns = 1 * WEIR_S, .jitter_percent = JITTER_PERCENT),
                &order[BREAKER]);
    if (!error) /* a little more than the origin works on at a time; who waits, waits briefly */
        error = weir_bulkhead_create(
            WEIR_CONFIG(weir_bulkhead_config, .limit = 12, .queue = 8, .wait_max_ns = 50 * WEIR_MS),
            &order[BULKHEAD]);
    if (!error)
        error =
            weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .name = "attempt", .timeout_ns = ATTEMPT_NS),
                &order[ATTEMPT_TIMEOUT]);
    return error;
}

/* Under the lock. Events of nearly the same instant may come swapped. */
static void account(struct guard *guard, uint64_t now_ns)
{
    if (now_ns <= guard->since_ns) return;
    guard->times.seconds[guard->state] += (double)(now_ns - guard->since_ns) / 1e9;
    guard->since_ns = now_ns;
}

/* What the pipeline tells of each change of state, with the instant at which it was decided. */
static void hear(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)pipeline;
    struct guard *guard = argument;
    enum weir_breaker_state state;
    switch (event->kind) {
    case WEIR_EVENT_BREAKER_OPENED:
    case WEIR_EVENT_BREAKER_REOPENED: state = WEIR_BREAKER_OPEN; break;
    case WEIR_EVENT_BREAKER_HALF_OPENED: state = WEIR_BREAKER_HALF_OPEN; break;
    case WEIR_EVENT_BREAKER_CLOSED: state = WEIR_BREAKER_RAMP; break;
    case WEIR_EVENT_BREAKER_RAMP_OVER: state = WEIR_BREAKER_CLOSED; break;
    default: return;
    }
    pthread_mutex_lock(&guard->lock);
    account(guard, event->now_ns);
    guard->state = state;
    pthread_mutex_unlock(&guard->lock);
}

bool guard_open(struct guard *guard)
{
    struct weir_policy *order[POLICIES] = { NULL };
    struct weir_sink sink = { .event = hear, .argument = guard };
    *guard = (struct guard) { .state = WEIR_BREAKER_CLOSED, .since_ns = monotonic_ns() };
    pthread_mutex_init(&guard->lock, NULL);
    enum weir_error error = create_policies(order);
    if (!error)
        error = weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = "origin", .sink = &sink),
            order, POLICIES, &guard->pipeline);
    if (error) fprintf(stderr, "weir-demo: %s: %s\n", weir_error_name(error), weir_error_text());
    for (int i = 0; i < POLICIES; i++)
        weir_policy_release(order[i]); /* the pipeline has its own references */
    return !error;
}

void guard_close(struct guard *guard)
{
    weir_pipeline_destroy(guard->pipeline);
    pthread_mutex_destroy(&guard->lock);
    guard->pipeline = NULL;
}

struct request {
    struct client *client;
    int status; /* of HTTP, of the last attempt */
};

static struct weir_outcome get(void *argument, const struct weir_attempt *attempt)
{
    struct request *request = argument;
    struct answer answer = client_get(request->client, weir_attempt_left_ms(attempt));
    request->status = answer.status;
    switch (answer.error) {
    case CURLE_OK: return weir_from_http(answer.status);
    case CURLE_COULDNT_CONNECT: return weir_from_errno(ECONNREFUSED);
    case CURLE_OPERATION_TIMEDOUT: return weir_from_errno(ETIMEDOUT);
    default: return weir_from_errno(EIO);
    }
}

enum answered guarded_call(struct client *client, struct arrival arrival, void *argument)
{
    const struct guard *guard = argument;
    struct request request = { .client = client };
    struct weir_context context; /* the deadline counts from the arrival, not from this line */
    weir_context_child(&context, NULL, arrival.at_ns + DEADLINE_NS, NULL);
    struct weir_outcome outcome = weir_run(guard->pipeline,
        WEIR_CONFIG(weir_call_options, .idempotent = true, .context = &context), get, &request);
    return outcome.status == WEIR_OK && request.status == 200 ? FRESH : IN_VAIN;
}

struct breaker_times guard_times(struct guard *guard)
{
    pthread_mutex_lock(&guard->lock);
    account(guard, monotonic_ns());
    struct breaker_times times = guard->times;
    pthread_mutex_unlock(&guard->lock);
    return times;
}

double guard_return_s(void)
{
    double open_s = (double)OPEN_MAX_NS / 1e9 * (100 + JITTER_PERCENT) / 100;
    return open_s + (double)RAMP_NS / 2 / 1e9; /* the ramp lets about half in */
}
