/* The table that gives outcomes their meaning (docs/design.md, "Outcomes"): each row is one way an attempt can
 * end, each column what a breaker's window, a probe and a retry make of it; every cell by a real pipeline. */
#include "support/test.h"

#include <weir/weir.h>

#include <stdio.h>
#include <string.h>

#define START (1000 * WEIR_S)
#define SLOW_NS (100 * WEIR_S) /* beyond every row: only lateness makes these calls slow */

enum shape { PLAIN, TIMEOUT_INSIDE, TIMEOUT_OUTSIDE, FULL_INSIDE, QUEUE_INSIDE };
enum how { SETTLED, WOKEN, CANCELED, CANCELED_BY_SOURCE, SETTLED_AFTER_CANCEL, REFUSED, NEVER_BEGAN };
enum window { W_SUCCESS, W_SLOW, W_FAILURE, W_NOTHING, W_OVERLOADED, W_OPENS };
enum probe { P_SUCCESS, P_FAILURE, P_GIVEN_BACK, P_NOT_ASKED };
enum retry { R_NO, R_IDEMPOTENT, R_YES, R_OPT_IN };

struct row {
    const char *name;
    enum shape shape;
    enum how how;
    struct weir_outcome outcome; /* what the operation says */
    uint64_t after_ns;           /* when it says so, or when it is cut off */
    uint64_t timeout_ns, context_ns;
    enum weir_status status; /* of the call, without a retry */
    enum window window;
    enum probe probe;
    enum retry retry;
};

#define SAYS(...)             \
    {                         \
        .status = __VA_ARGS__ \
    }
#define MS WEIR_MS

static const struct row rows[] = {
    { "OK", PLAIN, SETTLED, SAYS(WEIR_OK), MS, 0, 0, WEIR_OK, W_SUCCESS, P_SUCCESS, R_NO },
    { "OK after the timeout outside", TIMEOUT_OUTSIDE, SETTLED, SAYS(WEIR_OK), 600 * MS, 500 * MS, 0, WEIR_OK,
        W_SLOW, P_FAILURE, R_NO },
    { "OK after the timeout inside", TIMEOUT_INSIDE, SETTLED, SAYS(WEIR_OK), 600 * MS, 500 * MS, 0, WEIR_OK,
        W_SUCCESS, P_SUCCESS, R_NO },
    { "OK after the context's deadline", PLAIN, SETTLED, SAYS(WEIR_OK), 600 * MS, 0, 500 * MS, WEIR_OK,
        W_SLOW, P_FAILURE, R_NO },
    { "FAILED", PLAIN, SETTLED, SAYS(WEIR_FAILED), MS, 0, 0, WEIR_FAILED, W_FAILURE, P_FAILURE,
        R_IDEMPOTENT },
    { "FAILED, not sent", PLAIN, SETTLED, SAYS(WEIR_FAILED, .flags = WEIR_NOT_SENT), MS, 0, 0, WEIR_FAILED,
        W_FAILURE, P_FAILURE, R_YES },
    { "EXPIRED by the operation's own timeout", PLAIN, SETTLED, SAYS(WEIR_EXPIRED), MS, 0, 0, WEIR_EXPIRED,
        W_FAILURE, P_FAILURE, R_IDEMPOTENT },
    { "EXPIRED by a timeout inside, abandoned", TIMEOUT_INSIDE, WOKEN, SAYS(WEIR_OK), 500 * MS, 500 * MS, 0,
        WEIR_EXPIRED, W_FAILURE, P_FAILURE, R_IDEMPOTENT },
    { "EXPIRED by a timeout inside, FAILED too late", TIMEOUT_INSIDE, SETTLED, SAYS(WEIR_FAILED), 500 * MS,
        500 * MS, 0, WEIR_EXPIRED, W_FAILURE, P_FAILURE, R_IDEMPOTENT },
    { "EXPIRED by a timeout inside, not sent", TIMEOUT_INSIDE, SETTLED,
        SAYS(WEIR_FAILED, .flags = WEIR_NOT_SENT), 500 * MS, 500 * MS, 0, WEIR_EXPIRED, W_FAILURE, P_FAILURE,
        R_YES },
    { "EXPIRED by a timeout outside after 1 s", TIMEOUT_OUTSIDE, WOKEN, SAYS(WEIR_OK), 1000 * MS, 1000 * MS,
        0, WEIR_EXPIRED, W_FAILURE, P_FAILURE, R_NO },
    { "EXPIRED by a timeout outside before 1 s", TIMEOUT_OUTSIDE, WOKEN, SAYS(WEIR_OK), 999 * MS, 999 * MS, 0,
        WEIR_EXPIRED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "EXPIRED by a timeout outside, FAILED too late", TIMEOUT_OUTSIDE, SETTLED, SAYS(WEIR_FAILED), 500 * MS,
        500 * MS, 0, WEIR_EXPIRED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "EXPIRED by the context after 1 s", PLAIN, WOKEN, SAYS(WEIR_OK), 1000 * MS, 0, 1000 * MS, WEIR_EXPIRED,
        W_FAILURE, P_FAILURE, R_NO },
    { "EXPIRED by the context before 1 s", PLAIN, WOKEN, SAYS(WEIR_OK), 999 * MS, 0, 999 * MS, WEIR_EXPIRED,
        W_NOTHING, P_GIVEN_BACK, R_NO },
    { "EXPIRED by the context, FAILED too late", PLAIN, SETTLED, SAYS(WEIR_FAILED), 400 * MS, 0, 400 * MS,
        WEIR_EXPIRED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "EXPIRED by the context at the begin", PLAIN, NEVER_BEGAN, SAYS(WEIR_OK), 0, 0, 1, WEIR_EXPIRED,
        W_NOTHING, P_NOT_ASKED, R_NO },
    { "EXPIRED by the context after 2 s in a queue", QUEUE_INSIDE, WOKEN, SAYS(WEIR_OK), 2000 * MS, 0,
        2000 * MS, WEIR_EXPIRED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "CANCELED by the operation", PLAIN, SETTLED, SAYS(WEIR_CANCELED), MS, 0, 0, WEIR_CANCELED, W_NOTHING,
        P_GIVEN_BACK, R_NO },
    { "CANCELED by the caller", PLAIN, CANCELED, SAYS(WEIR_OK), 5000 * MS, 0, 0, WEIR_CANCELED, W_NOTHING,
        P_GIVEN_BACK, R_NO },
    { "CANCELED by its source", PLAIN, CANCELED_BY_SOURCE, SAYS(WEIR_OK), 5000 * MS, 0, 9000 * MS,
        WEIR_CANCELED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "CANCELED by its source, FAILED for it", PLAIN, SETTLED_AFTER_CANCEL, SAYS(WEIR_FAILED), 5000 * MS, 0,
        9000 * MS, WEIR_CANCELED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "CANCELED in a queue", QUEUE_INSIDE, CANCELED, SAYS(WEIR_OK), 2000 * MS, 0, 0, WEIR_CANCELED, W_NOTHING,
        P_GIVEN_BACK, R_NO },
    { "IGNORED", PLAIN, SETTLED, SAYS(WEIR_IGNORED), MS, 0, 0, WEIR_IGNORED, W_NOTHING, P_GIVEN_BACK, R_NO },
    { "IGNORED after the deadline", PLAIN, SETTLED, SAYS(WEIR_IGNORED), 2000 * MS, 0, 500 * MS, WEIR_IGNORED,
        W_NOTHING, P_GIVEN_BACK, R_NO },
    { "REJECTED inside, by a policy", FULL_INSIDE, REFUSED, SAYS(WEIR_OK), 0, 0, 0, WEIR_REJECTED, W_NOTHING,
        P_GIVEN_BACK, R_OPT_IN },
    { "REJECTED inside, by the operation", PLAIN, SETTLED, SAYS(WEIR_REJECTED), MS, 0, 0, WEIR_REJECTED,
        W_NOTHING, P_GIVEN_BACK, R_OPT_IN },
    { "OVERLOADED", PLAIN, SETTLED, SAYS(WEIR_OVERLOADED), MS, 0, 0, WEIR_OVERLOADED, W_OVERLOADED,
        P_GIVEN_BACK, R_YES },
    { "OVERLOADED with retry-after", PLAIN, SETTLED, SAYS(WEIR_OVERLOADED, .retry_after_ns = 3 * WEIR_S), MS,
        0, 0, WEIR_OVERLOADED, W_OPENS, P_GIVEN_BACK, R_YES },
    { "OVERLOADED after the deadline", PLAIN, SETTLED, SAYS(WEIR_OVERLOADED), 900 * MS, 0, 500 * MS,
        WEIR_OVERLOADED, W_OVERLOADED, P_GIVEN_BACK, R_NO },
};
#define ROWS (sizeof rows / sizeof rows[0])

/* ---- one attempt in a pipeline of the row's shape around or inside `subject` ---- */

struct stage {
    const struct row *row;
    const char *column;
    struct weir_pipeline *pipeline;
    struct weir_policy *subject, *bulkhead;
    struct weir_source *source;
    struct weir_context context;
    struct weir_permit taken; /* what fills the bulkhead */
    struct weir_call call;
    struct weir_step step;
};

static void cell(const struct stage *stage, bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "cell \"%s\" x %s: %s\n", stage->row->name, stage->column, what);
    CHECK(!"a cell of the outcome table");
}
#define CELL(condition) cell(stage, (condition), #condition)

static void set_up(
    struct stage *stage, const struct row *row, const char *column, struct weir_policy *subject)
{
    struct weir_policy *order[2] = { subject }, *other = NULL;
    size_t count = 1;
    *stage = (struct stage) { .row = row, .column = column, .subject = subject };
    if (row->shape == TIMEOUT_INSIDE || row->shape == TIMEOUT_OUTSIDE) {
        CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = row->timeout_ns), &other),
            WEIR_E_NONE);
    } else if (row->shape == FULL_INSIDE || row->shape == QUEUE_INSIDE) {
        uint32_t queue = row->shape == QUEUE_INSIDE;
        CHECK_EQ(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = 1, .queue = queue,
                                          .wait_max_ns = 100 * WEIR_S),
                     &other),
            WEIR_E_NONE);
        CHECK_EQ(weir_bulkhead_acquire(other, 1, &stage->taken).status, WEIR_OK);
        stage->bulkhead = other;
    }
    if (other != NULL) {
        order[row->shape != TIMEOUT_OUTSIDE] = other;
        order[row->shape == TIMEOUT_OUTSIDE] = subject;
        count = 2;
    }
    CHECK_EQ(weir_pipeline_create(NULL, order, count, &stage->pipeline), WEIR_E_NONE);
    weir_policy_release(other);
    CHECK_EQ(weir_source_create(&stage->source), WEIR_E_NONE);
}

static void begin(struct stage *stage, bool idempotent, uint64_t now_ns)
{
    const struct row *row = stage->row;
    uint64_t deadline_ns = row->context_ns == 0 ? WEIR_NEVER : now_ns + row->context_ns;
    if (row->how == NEVER_BEGAN) deadline_ns = now_ns;
    weir_context_child(&stage->context, NULL, deadline_ns, stage->source);
    stage->step = weir_call_begin(&stage->call, stage->pipeline,
        WEIR_CONFIG(weir_call_options, .context = &stage->context, .idempotent = idempotent), now_ns);
    bool waits = row->shape == QUEUE_INSIDE, over = row->how == NEVER_BEGAN;
    if (row->how == REFUSED) return;
    CELL(stage->step.action == (over ? WEIR_DONE : waits ? WEIR_WAIT : WEIR_RUN));
}

/* The attempt ends as the row says. */
static void end(struct stage *stage, uint64_t now_ns)
{
    const struct row *row = stage->row;
    switch (row->how) {
    case SETTLED_AFTER_CANCEL:
    case SETTLED:
        if (row->how == SETTLED_AFTER_CANCEL) weir_source_cancel(stage->source, 1);
        stage->step = weir_call_settle(&stage->call, 1, row->outcome, now_ns);
        break;
    case CANCELED_BY_SOURCE: weir_source_cancel(stage->source, 1); // fall through
    case WOKEN: stage->step = weir_call_wake(&stage->call, now_ns); break;
    case CANCELED: stage->step = weir_call_cancel(&stage->call, now_ns); break;
    case REFUSED:
    case NEVER_BEGAN: break;
    }
}

static void check_answer(struct stage *stage)
{
    CELL(stage->step.action == WEIR_DONE);
    CELL(weir_call_outcome(&stage->call).status == stage->row->status);
}

static void tear_down(struct stage *stage, uint64_t now_ns)
{
    if (stage->step.action != WEIR_DONE) stage->step = weir_call_cancel(&stage->call, now_ns);
    CELL(stage->step.action == WEIR_DONE);
    if (stage->step.pending != 0) {
        /* What was abandoned ends at last; it must not be heard any more. */
        stage->step =
            weir_call_settle(&stage->call, 1, (struct weir_outcome) { .status = WEIR_FAILED }, now_ns);
        CELL(stage->step.pending == 0);
    }
    if (stage->bulkhead != NULL) weir_bulkhead_release(stage->bulkhead, &stage->taken);
    CELL(weir_pipeline_stats(stage->pipeline).in_flight == 0);
    weir_pipeline_destroy(stage->pipeline);
    weir_source_release(stage->source);
}

static struct weir_policy *breaker(void)
{
    struct weir_policy *policy = NULL;
    CHECK_EQ(weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .jitter_percent = WEIR_OFF32, .probes = 2,
                                     .probe_ns = 3600 * WEIR_S, .ramp_ns = WEIR_OFF, .slow_ns = SLOW_NS,
                                     .overload_open_ns_max = 60 * WEIR_S),
                 &policy),
        WEIR_E_NONE);
    return policy;
}

static void strike(struct weir_policy *policy, uint64_t now_ns)
{
    for (int i = 0; i < 5; i++) {
        struct weir_permit permit;
        CHECK_EQ(weir_breaker_acquire_at(policy, &permit, now_ns).status, WEIR_OK);
        weir_breaker_release_at(policy, &permit, (struct weir_outcome) { .status = WEIR_FAILED }, now_ns);
    }
    CHECK_EQ(weir_breaker_stats(policy, now_ns).state, WEIR_BREAKER_OPEN);
}

/* ---- columns ---- */

static void check_window(struct stage *stage, struct weir_breaker_stats stats)
{
    enum window window = stage->row->window;
    bool opens = window == W_OPENS;
    CELL(stats.counted_ok == (window == W_SUCCESS || window == W_SLOW));
    CELL(stats.counted_slow == (window == W_SLOW));
    CELL(stats.counted_failed == (window == W_FAILURE));
    CELL(stats.streak == (window == W_FAILURE));
    CELL(stats.overloaded == (window == W_OVERLOADED || opens));
    CELL(stats.opened == opens);
    CELL(stats.stale == 0);
    CELL(stats.given_back == 0);
}

TEST(outcome_table, breaker_window)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct stage stage[1];
        set_up(stage, &rows[i], "breaker window", breaker());
        begin(stage, false, START);
        end(stage, START + rows[i].after_ns);
        check_answer(stage);
        check_window(stage, weir_breaker_stats(stage->subject, START + rows[i].after_ns));
        weir_policy_acquire(stage->subject);
        tear_down(stage, START + rows[i].after_ns);
        check_window(stage, weir_breaker_stats(stage->subject, START + rows[i].after_ns));
        weir_policy_release(stage->subject);
        weir_policy_release(stage->subject);
    }
}

TEST(outcome_table, probe)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct stage stage[1];
        set_up(stage, &rows[i], "probe", breaker());
        strike(stage->subject, START);
        uint64_t now_ns = weir_breaker_stats(stage->subject, START).until_ns;
        begin(stage, false, now_ns);
        end(stage, now_ns + rows[i].after_ns);
        check_answer(stage);
        struct weir_breaker_stats stats = weir_breaker_stats(stage->subject, now_ns + rows[i].after_ns);
        enum probe probe = rows[i].probe;
        CELL(stats.half_opened == (probe != P_NOT_ASKED));
        CELL(stats.probes_won == (probe == P_SUCCESS));
        CELL(stats.reopened == (probe == P_FAILURE));
        CELL(stats.given_back == (probe == P_GIVEN_BACK));
        CELL(stats.probes_out == 0);
        CELL(stats.counted_ok == 0);
        CELL(stats.counted_failed == 5);
        CELL(stats.opened == 1);
        tear_down(stage, now_ns + rows[i].after_ns);
        weir_policy_release(stage->subject);
    }
}

/* The breaker's generation passes while the attempt runs: as a call of the closed breaker that opens, and as
 * a probe whose lease ends. */
TEST(outcome_table, another_generation)
{
    for (size_t i = 0; i < 2 * ROWS; i++) {
        const struct row *row = &rows[i / 2];
        if (row->how == NEVER_BEGAN || row->how == REFUSED) continue;
        struct stage stage[1];
        set_up(stage, row, i % 2 ? "probe of another generation" : "window of another generation", breaker());
        uint64_t now_ns = START;
        if (i % 2 == 0) {
            begin(stage, false, now_ns);
            strike(stage->subject, now_ns);
        } else {
            strike(stage->subject, now_ns);
            now_ns = weir_breaker_stats(stage->subject, START).until_ns;
            begin(stage, false, now_ns);
            struct weir_permit permit;
            CELL(weir_breaker_acquire_at(stage->subject, &permit, now_ns + 3601 * WEIR_S).status ==
                WEIR_REJECTED);
        }
        struct weir_breaker_stats before = weir_breaker_stats(stage->subject, now_ns);
        end(stage, now_ns + row->after_ns);
        check_answer(stage);
        struct weir_breaker_stats after = weir_breaker_stats(stage->subject, now_ns);
        CELL(after.stale == 1);
        after.stale = before.stale;
        CELL(memcmp(&before, &after, sizeof before) == 0);
        tear_down(stage, now_ns + row->after_ns);
        weir_policy_release(stage->subject);
    }
}

static struct weir_policy *retry(uint32_t on)
{
    struct weir_policy *policy = NULL;
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .backoff = WEIR_BACKOFF_CONSTANT,
                                   .base_ns = 10 * WEIR_MS, .on = on),
                 &policy),
        WEIR_E_NONE);
    return policy;
}

static void retry_column(const char *column, uint32_t on, bool idempotent)
{
    bool opted_in = (on & WEIR_ON(WEIR_REJECTED)) != 0;
    for (size_t i = 0; i < ROWS; i++) {
        struct stage stage[1];
        set_up(stage, &rows[i], column, retry(on));
        begin(stage, idempotent, START);
        end(stage, START + rows[i].after_ns);
        bool retried = rows[i].retry == R_YES || (rows[i].retry == R_IDEMPOTENT && idempotent) ||
            (rows[i].retry == R_OPT_IN && opted_in);
        CELL(weir_retry_stats(stage->subject).retried == retried);
        if (retried) {
            uint64_t delay_ns = 10 * WEIR_MS;
            if (rows[i].outcome.retry_after_ns > delay_ns) delay_ns = rows[i].outcome.retry_after_ns;
            CELL(stage->step.action == WEIR_WAIT);
            CELL(stage->step.pending != 0 || stage->step.at_ns == START + rows[i].after_ns + delay_ns);
        } else {
            check_answer(stage);
        }
        tear_down(stage, START + rows[i].after_ns);
        weir_policy_release(stage->subject);
    }
}

TEST(outcome_table, retry)
{
    retry_column("retry", 0, false);
}

TEST(outcome_table, retry_of_an_idempotent_call)
{
    retry_column("retry, idempotent", 0, true);
}

TEST(outcome_table, retry_of_everything_by_choice)
{
    uint32_t all = WEIR_ON(WEIR_FAILED) | WEIR_ON(WEIR_EXPIRED) | WEIR_ON(WEIR_OVERLOADED);
    retry_column("retry, rejections too", all | WEIR_ON(WEIR_REJECTED), false);
    retry_column("retry, rejections too, idempotent", all | WEIR_ON(WEIR_REJECTED), true);
}
