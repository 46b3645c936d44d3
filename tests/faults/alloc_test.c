/* Every allocation of every create fails in its turn, once and from then on: NOMEM, nothing lost, the result's
 * pointer untouched, and the next create goes well. The library's allocations come here (--wrap). */
#include "shared/toy.h"

#include <weir/testing.h>
#include <weir/transport.h>
#include <weir/weir.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

/* Of this thread, while armed. */
static __thread struct {
    bool armed, lasting;
    int asked, fail; /* the fail-th fails; 0: none */
    int live;        /* got and not given back */
} faults;

static bool fails(void)
{
    if (!faults.armed) return false;
    faults.asked++;
    bool now =
        faults.fail != 0 && (faults.lasting ? faults.asked >= faults.fail : faults.asked == faults.fail);
    if (now) errno = ENOMEM;
    else faults.live++;
    return now;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails()) return NULL;
    if (faults.armed && memory != NULL) faults.live--; /* the old one */
    return __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
    if (faults.armed && memory != NULL) faults.live--;
    __real_free(memory);
}

static void arm(int fail, bool lasting)
{
    faults.armed = true;
    faults.lasting = lasting;
    faults.fail = fail;
    faults.asked = faults.live = 0;
}

/* ---- what is created ---- */

static const char untouched;

struct maker {
    const char *name;
    int least; /* allocations that it makes */
    enum weir_error (*create)(void **result);
    void (*destroy)(void *result);
};

static void release_policy(void *policy)
{
    weir_policy_release(policy);
}

static void destroy_pipeline(void *pipeline)
{
    weir_pipeline_destroy(pipeline);
}

static void release_budget(void *budget)
{
    weir_budget_release(budget);
}

static void release_source(void *source)
{
    weir_source_release(source);
}

static void destroy_histogram(void *histogram)
{
    weir_histogram_destroy(histogram);
}

static void destroy_sink(void *sink)
{
    weir_log_sink_destroy(sink);
}

static struct weir_outcome light(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static void ignore(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    (void)pipeline;
    (void)event;
}
static const struct weir_sink sink = { ignore, NULL };
static const struct weir_policy_ops ops = { .size = sizeof ops, .kind = "own" };

/* ---- a link, and one with more objects than it had room for at first ---- */

static struct toy_carrier drivers;
static struct toy objects[40]; /* more than its first two rooms for them */

static enum weir_error create_link(struct weir_link **link)
{
    struct weir_carrier carrier = {
        .size = sizeof carrier, .nodes = 1, .ring = toy_ring, .argument = &drivers
    };
    return weir_link_create(WEIR_CONFIG(weir_link_config, .instance = { 1, 2 }, .carrier = &carrier), link);
}

static void destroy_link(void *made)
{
    struct weir_link *link = made;
    weir_link_close(link, toy_instants(WEIR_S));
    weir_link_release(link);
}

static void keep(struct shared *object)
{
    (void)object;
}

static enum weir_error enrol_many(struct weir_link **link)
{
    static struct shared_ops lasting;
    struct weir_link *made = NULL;
    enum weir_error error = create_link(&made);
    if (error != WEIR_E_NONE) return error;
    lasting = toy_ops;
    lasting.destroy = keep;
    size_t enrolled = 0;
    memset(objects, 0, sizeof objects);
    while (error == WEIR_E_NONE && enrolled < sizeof objects / sizeof objects[0]) {
        objects[enrolled].done = true;
        error = shared_enrol(made, &objects[enrolled].shared, &lasting, "toy");
        if (error == WEIR_E_NONE) enrolled++;
    }
    while (enrolled > 0) shared_leave(&objects[--enrolled].shared);
    if (error == WEIR_E_NONE) *link = made;
    else destroy_link(made);
    return error;
}

#define MAKER(name, type, call)                       \
    static enum weir_error make_##name(void **result) \
    {                                                 \
        type *made = (type *)*result;                 \
        enum weir_error error = call;                 \
        *result = made;                               \
        return error;                                 \
    }
MAKER(breaker, struct weir_policy,
    weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .slow_ns = WEIR_S), &made))
MAKER(
    bulkhead, struct weir_policy, weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .queue = 16), &made))
MAKER(rate, struct weir_policy, weir_rate_create(WEIR_CONFIG(weir_rate_config, .burst = 1000), &made))
MAKER(timeout, struct weir_policy, weir_timeout_create(NULL, &made))
MAKER(retry, struct weir_policy, weir_retry_create(NULL, &made))
MAKER(fallback, struct weir_policy,
    weir_fallback_create(WEIR_CONFIG(weir_fallback_config, .value = "1234567", .value_size = 8,
                             .last_good = true, .function = light),
        &made))
MAKER(gate, struct weir_policy, weir_gate_create(NULL, &made))
MAKER(chaos, struct weir_policy, weir_chaos_create(WEIR_CONFIG(weir_chaos_config, .error_ppm = 1), &made))
MAKER(own, struct weir_policy,
    weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops, .state_size = 100, .waiters = 3), &made))
MAKER(force, struct weir_policy,
    weir_test_force_create(NULL, (struct weir_outcome) { .status = WEIR_FAILED }, &made))
MAKER(budget, struct weir_budget, weir_budget_create(NULL, &made))
MAKER(source, struct weir_source, weir_source_create(&made))
MAKER(histogram, struct weir_histogram, weir_histogram_create(&made))
MAKER(log, struct weir_sink, weir_log_sink_create(2, 0, &made))
MAKER(link, struct weir_link, create_link(&made))
MAKER(many, struct weir_link, enrol_many(&made))
MAKER(bare, struct weir_pipeline, weir_pipeline_create(NULL, NULL, 0, &made))
MAKER(standard, struct weir_pipeline,
    weir_pipeline_standard(
        WEIR_CONFIG(weir_standard_config, .queue = 8, .result_size = 16, .sink = &sink), &made))
MAKER(controller, struct weir_pipeline,
    weir_controller_create(
        WEIR_CONFIG(weir_controller_config, .light = light, .result_size = 16, .sink = &sink), &made))

static const struct maker makers[] = {
    { "breaker", 2, make_breaker, release_policy },
    { "bulkhead with a queue", 3, make_bulkhead, release_policy },
    { "rate", 2, make_rate, release_policy },
    { "gate", 2, make_gate, release_policy },
    { "timeout", 2, make_timeout, release_policy },
    { "retry with a budget of its own", 3, make_retry, release_policy },
    { "fallback", 2, make_fallback, release_policy },
    { "chaos", 2, make_chaos, release_policy },
    { "policy of the user's own", 3, make_own, release_policy },
    { "forced outcome", 2, make_force, release_policy },
    { "budget", 1, make_budget, release_budget },
    { "source", 1, make_source, release_source },
    { "histogram", 1, make_histogram, destroy_histogram },
    { "log sink", 1, make_log, destroy_sink },
    { "link", 1, make_link, destroy_link },
    { "link with objects", 4, make_many, destroy_link },
    { "empty pipeline", 4, make_bare, destroy_pipeline },
    { "standard", 5 + 5 * 2 + 2, make_standard, destroy_pipeline },
    { "controller", 5 + 3 * 2, make_controller, destroy_pipeline },
};

static int count_allocations(const struct maker *maker)
{
    void *made = NULL;
    arm(0, false);
    enum weir_error error = maker->create(&made);
    int asked = faults.asked;
    if (error == WEIR_E_NONE) maker->destroy(made);
    int live = faults.live;
    faults.armed = false;
    if (error != WEIR_E_NONE) check_failed(__FILE__, __LINE__, "%s: %s", maker->name, weir_error_text());
    if (asked < maker->least || live != 0)
        check_failed(__FILE__, __LINE__, "%s: %d allocations, %d left", maker->name, asked, live);
    return asked;
}

static void fail_one(const struct maker *maker, int fail, bool lasting)
{
    void *made = (void *)&untouched;
    arm(fail, lasting);
    enum weir_error error = maker->create(&made);
    int live = faults.live;
    faults.armed = false;
    if (error != WEIR_E_NOMEM || live != 0 || (made != &untouched && made != NULL)) {
        check_failed(__FILE__, __LINE__, "%s, allocation %d: error %d, %d left, result %s", maker->name, fail,
            (int)error, live, made == &untouched ? "untouched" : "set");
    }
    if (strstr(weir_error_text(), "memory") == NULL) CHECK_STR(weir_error_text(), "out of memory");
}

TEST(faults, every_allocation_of_every_create)
{
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        int count = count_allocations(&makers[i]);
        for (int fail = 1; fail <= count; fail++) {
            fail_one(&makers[i], fail, false);
            fail_one(&makers[i], fail, true);
            CHECK_EQ(count_allocations(&makers[i]), count); /* it has left nothing behind */
        }
    }
}

/* A create that fails keeps no reference to what it was given. */
TEST(faults, a_pipeline_that_could_not_be_made_keeps_no_reference)
{
    for (int fail = 1; fail <= 5; fail++) {
        struct weir_policy *order[2] = { NULL };
        struct weir_pipeline *pipeline = NULL;
        arm(0, false);
        CHECK_EQ(weir_bulkhead_create(NULL, &order[0]), WEIR_E_NONE);
        CHECK_EQ(weir_retry_create(NULL, &order[1]), WEIR_E_NONE);
        faults.asked = 0;
        faults.fail = fail;
        CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .sink = &sink), order, 2, &pipeline),
            WEIR_E_NOMEM);
        CHECK(pipeline == NULL);
        weir_policy_set_mode(order[0], WEIR_MODE_SHADOW); /* would reach the pipeline, were it known */
        for (int i = 0; i < 2; i++) weir_policy_release(order[i]);
        faults.armed = false;
        CHECK_EQ(faults.live, 0);
    }
}

TEST(faults, a_retry_that_could_not_be_made_keeps_no_budget)
{
    for (int fail = 1; fail <= 2; fail++) {
        struct weir_budget *budget = NULL;
        struct weir_policy *retry = NULL;
        arm(0, false);
        CHECK_EQ(weir_budget_create(NULL, &budget), WEIR_E_NONE);
        faults.asked = 0;
        faults.fail = fail;
        CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .budget = budget), &retry), WEIR_E_NOMEM);
        weir_budget_release(budget);
        faults.armed = false;
        CHECK_EQ(faults.live, 0);
    }
}

/* "Only functions named create allocate": with nothing left to have, calls go on. */
TEST(faults, calls_allocate_nothing)
{
    struct weir_pipeline *pipeline = NULL;
    struct weir_source *source = NULL;
    CHECK_EQ(
        weir_pipeline_standard(WEIR_CONFIG(weir_standard_config, .sink = &sink), &pipeline), WEIR_E_NONE);
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    arm(1, true);
    for (int i = 0; i < 100; i++) {
        struct weir_context context;
        char text[2048];
        weir_context_child(&context, NULL, WEIR_NEVER, source);
        struct weir_outcome outcome =
            weir_run(pipeline, WEIR_CONFIG(weir_call_options, .context = &context), light, NULL);
        CHECK_EQ(outcome.status, WEIR_OK);
        (void)weir_outcome_text(text, sizeof text, pipeline, outcome);
        (void)weir_pipeline_explain(pipeline, 0, text, sizeof text);
        weir_policy_set_mode(weir_pipeline_policy(pipeline, 0), (enum weir_mode)(i % 3));
    }
    faults.armed = false;
    CHECK_EQ(faults.asked, 0);
    weir_pipeline_destroy(pipeline);
    weir_source_release(source);
}
