/* Chaos: how many it holds, how long it lasts, its switch, an operator's hand, and what it tells. */
#include "policy/chaos_words.h"

#include "base/lock.h"

/* ---- how many, how long, whether at all ---- */

TEST(chaos, no_more_are_held_than_the_limit_says)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL / 2, .lost_ppm = ALL / 2, .held_max = 2);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call[40];
    int done = 0;
    for (int i = 0; i < 40; i++) {
        struct weir_step step = begin(&call[i], pipeline, START);
        if (step.action == WEIR_RUN) step = settle(&call[i], WEIR_OK, START + 1);
        done += step.action == WEIR_DONE;
    }
    CHECK_EQ(done, 38);
    struct weir_chaos_stats stats = weir_chaos_stats(chaos);
    CHECK_EQ(stats.held, 2);
    CHECK_EQ(stats.injected[WEIR_CHAOS_LATENCY] + stats.injected[WEIR_CHAOS_LOST], 2);
    CHECK_EQ(stats.spared[WEIR_CHAOS_LATENCY] + stats.spared[WEIR_CHAOS_LOST], 38);
    CHECK(stats.spared[WEIR_CHAOS_LATENCY] > 0 && stats.spared[WEIR_CHAOS_LOST] > 0);
    for (int i = 0; i < 40; i++) CHECK_EQ(weir_call_cancel(&call[i], START + 2).action, WEIR_DONE);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, it_ends_by_itself)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL, .duration_ns = WEIR_S);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(weir_chaos_stats(chaos).until_ns, 0);
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
    CHECK_EQ(weir_chaos_stats(chaos).until_ns, START + WEIR_S);
    CHECK_EQ(begin(&call, pipeline, START + WEIR_S - 1).action, WEIR_DONE);
    CHECK(weir_chaos_stats(chaos).enabled);
    CHECK_EQ(begin(&call, pipeline, START + WEIR_S).action, WEIR_RUN);
    CHECK(!weir_chaos_stats(chaos).enabled);
    CHECK_EQ(settle(&call, WEIR_OK, START + WEIR_S).action, WEIR_DONE);
    CHECK_EQ(pipeline->attention & ATTENTION_SWITCHED, 0); /* the next is not asked any more */
    CHECK_EQ(weir_chaos_stats(chaos).calls, 2);
    weir_pipeline_destroy(pipeline);
}

/* While somebody holds the registry's lock the pipeline cannot be told; a later call does. */
TEST(chaos, in_shadow_it_ends_by_itself_too)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL, .duration_ns = WEIR_S);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    weir_policy_set_mode(chaos, WEIR_MODE_SHADOW);
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START).action, WEIR_DONE);
    CHECK_EQ(pipeline->attention, ATTENTION_MODES);
    CHECK_EQ(begin(&call, pipeline, START + WEIR_S).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + WEIR_S).action, WEIR_DONE);
    CHECK_EQ(pipeline->attention, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, its_end_reaches_the_pipeline_when_the_lock_is_free)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL, .duration_ns = WEIR_S);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
    lock_take(&weir_registry_lock);
    CHECK_EQ(begin(&call, pipeline, START + WEIR_S).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + WEIR_S).action, WEIR_DONE);
    lock_drop(&weir_registry_lock);
    CHECK((pipeline->attention & ATTENTION_SWITCHED) != 0);
    CHECK_EQ(begin(&call, pipeline, START + WEIR_S).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_OK, START + WEIR_S).action, WEIR_DONE);
    CHECK_EQ(pipeline->attention & ATTENTION_SWITCHED, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, the_switch)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL, .off = true);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
        CHECK_EQ(call.flags & CALL_SLOW, 0);
        CHECK_EQ(settle(&call, WEIR_OK, START).action, WEIR_DONE);
        CHECK_EQ(weir_chaos_stats(chaos).calls, 0);
        weir_chaos_set_enabled(chaos, true);
        CHECK(weir_chaos_stats(chaos).enabled);
        CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
        CHECK_EQ(weir_chaos_stats(chaos).calls, 1);
        weir_chaos_set_enabled(chaos, true); /* anew */
        CHECK_EQ(weir_chaos_stats(chaos).calls, 0);
        weir_chaos_set_enabled(chaos, false);
        CHECK(!weir_chaos_stats(chaos).enabled);
    }
    weir_pipeline_destroy(pipeline);
}

/* Off, it was not asked: what lies in its slot is nobody's. */
TEST(chaos, a_call_that_fails_while_it_is_off_owes_it_nothing)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL, .off = true);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    memset(&call, 1, sizeof call);
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(settle(&call, WEIR_FAILED, START).action, WEIR_DONE);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, switched_off_it_frees_whom_it_holds_within_100_ms)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL, .latency_min_ns = WEIR_S, .latency_max_ns = WEIR_S);
    struct weir_policy *loser = CHAOS(.lost_ppm = ALL);
    struct weir_pipeline *pipeline = around(chaos), *losing = around(loser);
    struct weir_call late, lost;
    CHECK_EQ(begin(&late, pipeline, START).at_ns, START + 100 * WEIR_MS);
    CHECK_EQ(begin(&lost, losing, START).action, WEIR_RUN);
    struct weir_outcome answer = { .status = WEIR_OK, .code = 200 };
    CHECK_EQ(weir_call_settle(&lost, 1, answer, START).at_ns, START + 100 * WEIR_MS);
    weir_chaos_set_enabled(chaos, false);
    weir_chaos_set_enabled(loser, false);
    CHECK_EQ(weir_call_wake(&late, START + 100 * WEIR_MS).action, WEIR_RUN);
    CHECK_EQ(settle(&late, WEIR_OK, START + 100 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_wake(&lost, START + 100 * WEIR_MS).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&lost).status, WEIR_OK); /* it arrives after all */
    CHECK_EQ(weir_call_outcome(&lost).code, 200);
    CHECK_EQ(weir_chaos_stats(chaos).held + weir_chaos_stats(loser).held, 0);
    weir_pipeline_destroy(pipeline);
    weir_pipeline_destroy(losing);
}

/* ---- an operator's hand ---- */

TEST(chaos, in_shadow_it_counts_what_it_would_do)
{
    static const enum weir_mode modes[] = { WEIR_MODE_SHADOW, WEIR_MODE_FORCED_CLOSED };
    for (int i = 0; i < 2; i++) {
        struct weir_policy *chaos =
            CHAOS(.latency_ppm = ALL / 4, .error_ppm = ALL / 4, .result_ppm = ALL / 4, .lost_ppm = ALL / 4);
        struct weir_pipeline *pipeline = around(chaos);
        weir_policy_set_mode(chaos, modes[i]);
        for (int k = 0; k < 100; k++) {
            struct weir_call call;
            CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
            CHECK_EQ(settle(&call, WEIR_OK, START + 1).action, WEIR_DONE);
            CHECK_EQ(weir_call_outcome(&call).status, WEIR_OK);
            CHECK_EQ(weir_call_outcome(&call).flags, 0); /* nobody would have refused it */
        }
        struct weir_chaos_stats stats = weir_chaos_stats(chaos);
        uint64_t would = 0;
        for (int kind = 0; kind < WEIR_CHAOS_KINDS; kind++) {
            CHECK_EQ(stats.injected[kind], 0);
            CHECK(stats.would_inject[kind] > 10);
            would += stats.would_inject[kind];
        }
        CHECK_EQ(would, 100);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(chaos, off_or_disabled_its_pipeline_takes_the_fast_lists)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = ALL);
    struct weir_pipeline *pipeline = around(chaos);
    CHECK_EQ(pipeline->admit_end - pipeline->admit, 0);
    CHECK_EQ(pipeline->settle_end - pipeline->settle, 0);
    CHECK_EQ(pipeline->attention, ATTENTION_SWITCHED);
    weir_policy_set_mode(chaos, WEIR_MODE_DISABLED);
    CHECK_EQ(pipeline->attention, 0);
    weir_policy_set_mode(chaos, WEIR_MODE_SHADOW);
    CHECK_EQ(pipeline->attention, ATTENTION_MODES);
    weir_chaos_set_enabled(chaos, false);
    CHECK_EQ(pipeline->attention, 0);
    weir_policy_set_mode(chaos, WEIR_MODE_FORCED_OPEN);
    CHECK_EQ(pipeline->attention, ATTENTION_MODES);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&call).reason, WEIR_REASON_FORCED);
    weir_policy_set_mode(chaos, WEIR_MODE_ON);
    CHECK_EQ(pipeline->attention, 0);
    weir_pipeline_destroy(pipeline);
}

TEST(chaos, disabled_it_lets_go_of_whom_it_holds)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL), *loser = CHAOS(.lost_ppm = ALL);
    struct weir_pipeline *pipeline = around(chaos), *losing = around(loser);
    struct weir_call late, lost;
    CHECK_EQ(begin(&late, pipeline, START).action, WEIR_WAIT);
    CHECK_EQ(begin(&lost, losing, START).action, WEIR_RUN);
    CHECK_EQ(settle(&lost, WEIR_OK, START).action, WEIR_WAIT);
    weir_policy_set_mode(chaos, WEIR_MODE_DISABLED);
    weir_policy_set_mode(loser, WEIR_MODE_DISABLED);
    CHECK_EQ(weir_call_wake(&late, START + 1).action, WEIR_RUN);
    CHECK_EQ(settle(&late, WEIR_OK, START + 1).action, WEIR_DONE);
    CHECK_EQ(weir_call_wake(&lost, START + 1).action, WEIR_DONE);
    CHECK_EQ(weir_call_outcome(&lost).status, WEIR_OK);
    CHECK_EQ(weir_chaos_stats(chaos).held + weir_chaos_stats(loser).held, 0);
    weir_pipeline_destroy(pipeline);
    weir_pipeline_destroy(losing);
}

TEST(chaos, a_call_that_is_not_hit_stays_on_the_fast_lists)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = 1, .seed = 9);
    struct weir_pipeline *pipeline = around(chaos);
    struct weir_call call;
    CHECK_EQ(begin(&call, pipeline, START).action, WEIR_RUN);
    CHECK_EQ(call.flags & CALL_SLOW, 0);
    CHECK_EQ(weir_chaos_stats(chaos).calls, 1);
    CHECK_EQ(settle(&call, WEIR_FAILED, START).action, WEIR_DONE); /* owed nothing when it leaves them late */
    CHECK_EQ(weir_call_outcome(&call).by, 0);
    weir_pipeline_destroy(pipeline);
}

/* ---- what it tells ---- */

static struct weir_event told[8];
static uint32_t tellings;

static void hear(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)argument;
    (void)pipeline;
    told[tellings++ % 8] = *event;
}

static void check_told(enum weir_event_kind kind, uint32_t attempt)
{
    CHECK_EQ(tellings, 1);
    CHECK_EQ(told[0].kind, kind);
    CHECK_EQ(told[0].policy, 1);
    CHECK_EQ(told[0].attempt, attempt);
    tellings = 0;
}

TEST(chaos, each_harm_is_told_once_and_so_is_its_end)
{
    for (uint32_t kind = 0; kind < WEIR_CHAOS_KINDS; kind++) {
        struct weir_sink sink = { hear, NULL };
        uint32_t ppm[WEIR_CHAOS_KINDS] = { 0 };
        ppm[kind] = ALL;
        struct weir_policy *chaos = CHAOS(.latency_ppm = ppm[0], .error_ppm = ppm[1], .result_ppm = ppm[2],
            .lost_ppm = ppm[3], .duration_ns = 20 * WEIR_S);
        struct weir_pipeline *pipeline;
        CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .sink = &sink), &chaos, 1, &pipeline),
            WEIR_E_NONE);
        weir_policy_release(chaos);
        struct weir_call call;
        struct weir_step step = begin(&call, pipeline, START);
        if (step.action == WEIR_RUN) step = settle(&call, WEIR_OK, START);
        if (step.action == WEIR_WAIT) step = weir_call_wake(&call, START + 1); /* not a second time */
        weir_pipeline_deliver(pipeline);
        check_told(WEIR_EVENT_CHAOS_HIT, kind != WEIR_CHAOS_LATENCY);
        CHECK_EQ(weir_call_cancel(&call, START + 2).action, WEIR_DONE);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(begin(&call, pipeline, START + 20 * WEIR_S).action, WEIR_RUN);
            CHECK_EQ(settle(&call, WEIR_OK, START + 20 * WEIR_S).action, WEIR_DONE);
        }
        weir_pipeline_deliver(pipeline);
        check_told(WEIR_EVENT_CHAOS_ENDED, 0);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(chaos, describes_itself)
{
    char text[128];
    struct weir_policy *chaos = CHAOS(.latency_ppm = 5000, .error_ppm = 200000, .result_ppm = 10000,
        .lost_ppm = 1, .duration_ns = WEIR_S);
    CHECK_STR(hooks_describe(chaos, text, sizeof text),
        "on, ends in 1 s, latency 5000 ppm, error 20 %, result 1 %, lost 1 ppm");
    struct weir_call call = hooks_call(0);
    (void)hooks_admit(chaos, &call, START);
    chaos->ops->describe(chaos->config, chaos->state, START + 1, text, sizeof text);
    CHECK(strstr(text, "on, ends in 999999999 ns, ") == text);
    chaos->ops->describe(chaos->config, chaos->state, START + WEIR_S, text, sizeof text);
    CHECK(strstr(text, "off, latency") == text);
    chaos->ops->describe(chaos->config, chaos->state, START, text, 10);
    CHECK_STR(text, "on, ends ");
    weir_chaos_set_enabled(chaos, false);
    CHECK(strstr(hooks_describe(chaos, text, sizeof text), "off, latency") == text);
    weir_policy_release(chaos);
    chaos = CHAOS(.error_ppm = ALL);
    CHECK_STR(hooks_describe(chaos, text, sizeof text), "on, ends in 600 s, error 100 %");
    weir_policy_release(chaos);
}

TEST(chaos, kinds_have_names)
{
    CHECK_STR(weir_chaos_kind_text(WEIR_CHAOS_LATENCY), "latency");
    CHECK_STR(weir_chaos_kind_text(WEIR_CHAOS_LOST), "lost");
    CHECK_STR(weir_chaos_kind_text(WEIR_CHAOS_KINDS), "?");
}

/* ---- others at the same time ---- */

TEST(chaos, whoever_starts_first_says_when_it_ends)
{
    struct weir_policy *chaos = CHAOS(.error_ppm = 1, .duration_ns = 30 * 86400 * WEIR_S);
    struct weir_call call = hooks_call(0);
    (void)hooks_admit(chaos, &call, WEIR_NEVER - 5); /* never by wrapping around */
    CHECK_EQ(weir_chaos_stats(chaos).until_ns, WEIR_NEVER - 1);
    weir_policy_release(chaos);
}

TEST(chaos, a_forked_child_holds_nothing)
{
    struct weir_policy *chaos = CHAOS(.latency_ppm = ALL);
    struct weir_call call = hooks_call(0);
    CHECK_EQ(hooks_admit(chaos, &call, START).kind, WEIR_HOLD);
    chaos->ops->forked(chaos->config, chaos->state);
    CHECK_EQ(weir_chaos_stats(chaos).held, 0);
    weir_policy_release(chaos);
}
