/* Guarded blocks in C++: every way out, an exception among them, settles once and leaves nothing taken. */
#include <weir/weir.h>

#include <cstdio>
#include <cstdlib>

static void check(bool fine, int line, const char *what)
{
    if (fine) return;
    std::fprintf(stderr, "guard.cpp:%d: not so: %s\n", line, what);
    std::exit(1);
}
#define CHECK(condition) check(condition, __LINE__, #condition)

enum way { FALL, BREAK, CONTINUE, RETURN, GOTO, THROW, WAYS };

static int leave(weir_guard *guard, const weir_pipeline *pipeline, int way, const weir_outcome *outcome)
{
    WEIR_GUARD(guard, pipeline, NULL)
    {
        if (outcome != NULL) guard->outcome = *outcome;
        if (way == BREAK) break;
        if (way == CONTINUE) continue;
        if (way == RETURN) return RETURN;
        if (way == GOTO) goto out;
        if (way == THROW) throw 42;
    }
out:
    return 0;
}

/* A block that is entered and left while another exception is on its way has not failed. */
struct in_destructor {
    const weir_pipeline *pipeline;
    weir_outcome outcome;
    ~in_destructor()
    {
        weir_guard guard;
        WEIR_GUARD(&guard, pipeline, NULL)
        {
        }
        CHECK(guard.outcome.status == WEIR_OK);
    }
};

static void unwind(const weir_pipeline *pipeline)
{
    in_destructor last = { pipeline, weir_outcome() };
    throw 1;
}

static weir_status expected(int way, const weir_outcome *outcome)
{
    if (way == THROW && (outcome == NULL || outcome->status == WEIR_OK)) return WEIR_FAILED;
    return outcome == NULL ? WEIR_OK : static_cast<weir_status>(outcome->status);
}

static void check_ways(weir_policy *bulkhead, const weir_pipeline *pipeline)
{
    const weir_outcome ok = weir_from_int(0), overloaded = weir_from_http(503);
    const weir_outcome *const sets[] = { NULL, &ok, &overloaded };
    uint64_t calls = 0;
    for (int i = 0; i < WAYS * 3; i++) {
        weir_guard guard;
        bool thrown = false;
        try {
            leave(&guard, pipeline, i / 3, sets[i % 3]);
        } catch (int) {
            thrown = true;
        }
        CHECK(thrown == (i / 3 == THROW));
        CHECK(guard.outcome.status == expected(i / 3, sets[i % 3]));
        CHECK(weir_pipeline_stats(pipeline).begun == ++calls);
        CHECK(weir_pipeline_stats(pipeline).in_flight == 0);
        CHECK(weir_bulkhead_stats(bulkhead).in_use == 0);
    }
}

int main()
{
    weir_policy *bulkhead;
    weir_pipeline *pipeline;
    weir_bulkhead_config config = weir_bulkhead_config_init();
    config.limit = 1;
    CHECK(weir_bulkhead_create(&config, &bulkhead) == WEIR_E_NONE);
    CHECK(weir_pipeline_create(NULL, &bulkhead, 1, &pipeline) == WEIR_E_NONE);
    check_ways(bulkhead, pipeline);
    try {
        unwind(pipeline);
    } catch (int) {
    }
    weir_policy_set_mode(bulkhead, WEIR_MODE_FORCED_OPEN);
    weir_guard guard;
    WEIR_GUARD(&guard, pipeline, NULL) CHECK(!"refused");
    CHECK(guard.outcome.reason == WEIR_REASON_FORCED);
    weir_policy_release(bulkhead);
    weir_pipeline_destroy(pipeline);
    return 0;
}
