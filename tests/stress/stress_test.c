/* Single policies, and what contexts and histograms share, under many threads. */
#include "stress/stress_words.h"

/* ---- breaker ---- */

struct breaker_scene {
    struct weir_pipeline *pipeline;
    uint64_t clock_ns, calls;
};

/* Ill and well by turns: two windows of virtual time each. */
static struct weir_outcome ill_by_turns(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    uint64_t draw = *(uint64_t *)argument, now_ns = draw >> 8;
    bool ill = now_ns / (32 * WEIR_MS) % 2 == 0;
    uint64_t dice = draw & 0xff;
    if (dice < 4) sched_yield();
    if (dice < 8) return outcome_of(WEIR_IGNORED);
    return outcome_of(dice < (ill ? 200 : 10) ? WEIR_FAILED : WEIR_OK);
}

static void breaker_body(struct member *member)
{
    struct breaker_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(80000); i++) {
        uint64_t now_ns = tick(&scene->clock_ns, 4 * WEIR_US);
        uint64_t dice = now_ns << 8 | draw(member, 0, 255);
        (void)weir_run_at(scene->pipeline, NULL, ill_by_turns, &dice, now_ns);
        member->done++;
    }
}

TEST(stress, a_breaker_trips_and_recovers)
{
    struct breaker_scene scene = { .clock_ns = START };
    struct weir_policy *breaker = POLICY(breaker, .window_ns = 16 * WEIR_MS, .open_ns = WEIR_MS,
        .open_max_ns = 4 * WEIR_MS, .probe_ns = 2 * WEIR_MS, .ramp_ns = WEIR_MS);
    scene.pipeline = PIPELINE(breaker);
    uint64_t calls = team_run(breaker_body, NULL, &scene);
    struct weir_pipeline_stats all = check_over(scene.pipeline, calls);
    struct weir_breaker_stats stats = weir_breaker_stats(breaker, scene.clock_ns);
    CHECK(stats.opened >= 3);
    CHECK(stats.closed >= 2);
    /* The diagram's arrows: nothing leaves a state that was not entered. */
    uint64_t opened = stats.opened + stats.reopened, left = stats.closed + stats.reopened;
    CHECK(opened - stats.half_opened <= 1);
    CHECK(stats.half_opened - left <= 1);
    CHECK_EQ(stats.refused_open + stats.refused_probes + stats.refused_ramp, all.refused_by[0]);
    CHECK_EQ(all.attempts, calls - all.ended[WEIR_REJECTED]);
    weir_pipeline_destroy(scene.pipeline);
}

/* ---- bulkhead ---- */

#define SOURCES 4

struct bulkhead_scene {
    struct weir_pipeline *pipeline;
    struct weir_source *source[SOURCES];
    uint32_t limit, inside, canceled;
};

struct visit {
    struct bulkhead_scene *scene;
    uint32_t weight, yields;
};

static struct weir_outcome stay(void *argument, const struct weir_attempt *attempt)
{
    (void)attempt;
    struct visit *visit = argument;
    uint32_t inside = __atomic_add_fetch(&visit->scene->inside, visit->weight, __ATOMIC_RELAXED);
    CHECK(inside <= visit->scene->limit);
    for (uint32_t i = 0; i < visit->yields; i++) sched_yield();
    __atomic_sub_fetch(&visit->scene->inside, visit->weight, __ATOMIC_RELAXED);
    return outcome_of(WEIR_OK);
}

static void bulkhead_body(struct member *member)
{
    struct bulkhead_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(8000); i++) {
        struct visit visit = { scene, (uint32_t)draw(member, 1, 3), (uint32_t)draw(member, 0, 3) };
        struct weir_context context;
        uint64_t deadline_ns = weir_now(WEIR_TIMING_PRECISE) + draw(member, 1, 2000) * WEIR_US;
        weir_context_child(&context, NULL, deadline_ns, scene->source[draw(member, 0, SOURCES - 1)]);
        (void)weir_run(scene->pipeline,
            WEIR_CONFIG(weir_call_options, .weight = visit.weight, .context = &context), stay, &visit);
        member->done++;
    }
}

static void bulkhead_cancel(struct member *member)
{
    struct bulkhead_scene *scene = member->scene;
    struct weir_source *source = scene->source[draw(member, 0, SOURCES - 1)];
    CHECK(weir_source_cancel(source, 5));
    sched_yield();
    weir_source_reset(source);
}

static void bulkhead_queue_and_cancels(enum weir_form form, uint32_t limit)
{
    struct bulkhead_scene scene = { .limit = limit };
    struct weir_policy *bulkhead =
        POLICY(bulkhead, .limit = limit, .queue = 4, .wait_max_ns = WEIR_MS, .form = form);
    scene.pipeline = PIPELINE(bulkhead);
    for (int i = 0; i < SOURCES; i++) CHECK_EQ(weir_source_create(&scene.source[i]), WEIR_E_NONE);
    uint64_t calls = team_run(bulkhead_body, bulkhead_cancel, &scene);
    struct weir_pipeline_stats all = check_over(scene.pipeline, calls);
    check_empty(bulkhead);
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(bulkhead);
    CHECK(stats.queued > 0);
    CHECK(all.ended[WEIR_OK] > 0);
    CHECK_EQ(stats.refused_full + stats.refused_queue_full + stats.refused_wait, all.refused_by[0]);
    CHECK_EQ(stats.shards != 0, form == WEIR_FORM_SHARDED);
    CHECK_EQ(scene.inside, 0);
    for (int i = 0; i < SOURCES; i++) weir_source_release(scene.source[i]);
    weir_pipeline_destroy(scene.pipeline);
}

TEST(stress, a_bulkhead_of_one_word_with_queue_and_cancels)
{
    bulkhead_queue_and_cancels(WEIR_FORM_SINGLE, 4);
}

TEST(stress, a_sharded_bulkhead_with_queue_and_cancels)
{
    bulkhead_queue_and_cancels(WEIR_FORM_SHARDED, 8);
}

/* ---- rate ---- */

struct rate_scene {
    struct weir_policy *rate;
    uint64_t clock_ns;
};

static void rate_body(struct member *member)
{
    struct rate_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(80000); i++) {
        uint32_t cost = (uint32_t)draw(member, 1, 3);
        uint64_t now_ns = tick(&scene->clock_ns, 200);
        if (weir_rate_acquire_at(scene->rate, cost, now_ns).status == WEIR_OK) member->done += cost;
        struct weir_permit permit;
        uint64_t at_ns = 0;
        if (i % 16 != 0) continue;
        struct weir_outcome turn =
            weir_rate_reserve_at(scene->rate, cost, 5 * WEIR_US, now_ns, &permit, &at_ns);
        if (turn.status != WEIR_OK) continue;
        CHECK(at_ns >= now_ns);
        CHECK(at_ns <= now_ns + 5 * WEIR_US);
        if (i % 32 == 0) weir_rate_give_back_at(scene->rate, &permit, now_ns);
        else member->done += cost;
    }
}

/* A million a second: one each microsecond. Tokens given back may be had again, they are not counted. */
static void rate_bound(enum weir_form form, uint32_t lease)
{
    struct rate_scene scene = { .clock_ns = START };
    scene.rate = POLICY(rate, .permits = 1000000, .burst = 2000, .form = form, .lease = lease);
    uint64_t passed = team_run(rate_body, NULL, &scene);
    uint64_t grown = (scene.clock_ns - START) / WEIR_US, slack = (uint64_t)TEAM * lease;
    CHECK(passed <= 2000 + grown + slack + 5); /* 5: turns that lie ahead */
    CHECK(passed >= grown / 2);
    struct weir_rate_stats stats = weir_rate_stats(scene.rate, scene.clock_ns);
    CHECK_EQ(stats.lease, lease);
    CHECK(stats.refused > 0);
    CHECK(stats.given_back > 0);
    CHECK(stats.tokens <= 2000);
    CHECK(stats.leased <= (uint64_t)17 * lease);
    weir_policy_release(scene.rate);
}

TEST(stress, a_rate_of_one_word_lets_no_more_pass)
{
    rate_bound(WEIR_FORM_SINGLE, 0);
}

TEST(stress, a_leased_rate_lets_no_more_pass_than_its_bound)
{
    rate_bound(WEIR_FORM_SHARDED, 16);
}

/* ---- contexts ---- */

struct context_scene {
    struct weir_source *outer, *inner;
    struct weir_context parent;
};

static void count_post(void *argument)
{
    __atomic_add_fetch((uint32_t *)argument, 1, __ATOMIC_RELAXED);
}

/* After unwatch the waker does not run: its word is this frame's. */
static void context_body(struct member *member)
{
    struct context_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(40000); i++) {
        uint32_t posts = 0;
        struct weir_context context;
        struct weir_watch watch;
        weir_context_child(&context, &scene->parent, WEIR_NEVER, scene->inner);
        weir_context_enter(&context);
        bool before = weir_context_check(&context, START) == WEIR_CANCELED;
        weir_context_watch(&watch, &context, (struct weir_waker) { count_post, &posts });
        if (i % 8 == 0) sched_yield();
        bool after = weir_context_check(&context, START) == WEIR_CANCELED;
        int32_t reason = weir_context_reason(&context);
        weir_context_unwatch(&watch);
        CHECK(after || !before);                                      /* once canceled, it stays so */
        if (after) CHECK(reason == 1 || reason == 2 || reason == -1); /* -1: it was reset meanwhile */
        uint32_t told = __atomic_load_n(&posts, __ATOMIC_RELAXED);
        if (before) CHECK(told > 0);
        if (told > 0) CHECK_EQ(weir_context_check(&context, START), WEIR_CANCELED);
        CHECK(weir_context_current() == &context);
        weir_context_leave(&context);
        member->done += told > 0;
    }
}

/* The outer one only once, at the end: its context is shared. */
static void context_cancel(struct member *member)
{
    struct context_scene *scene = member->scene;
    (void)weir_source_cancel(scene->inner, 2);
    weir_source_reset(scene->inner);
}

TEST(stress, contexts_watched_while_their_sources_are_canceled)
{
    struct context_scene scene = { 0 };
    CHECK_EQ(weir_source_create(&scene.outer), WEIR_E_NONE);
    CHECK_EQ(weir_source_create(&scene.inner), WEIR_E_NONE);
    weir_context_child(&scene.parent, NULL, WEIR_NEVER, scene.outer);
    CHECK(team_run(context_body, context_cancel, &scene) > 0);
    CHECK(weir_source_cancel(scene.outer, 1));
    CHECK_EQ(team_run(context_body, context_cancel, &scene), TEAM * ROUNDS(40000));
    weir_source_release(scene.inner);
    weir_source_release(scene.outer);
}

/* ---- histogram ---- */

struct histogram_scene {
    struct weir_histogram *histogram, *copy;
};

static void histogram_body(struct member *member)
{
    struct histogram_scene *scene = member->scene;
    for (int i = 0; i < ROUNDS(400000); i++) {
        weir_histogram_record(scene->histogram, draw(member, 1000, 1999));
        member->done++;
    }
}

static void histogram_look(struct member *member)
{
    struct histogram_scene *scene = member->scene;
    uint64_t count = weir_histogram_count(scene->histogram);
    uint64_t median = weir_histogram_quantile(scene->histogram, 500000);
    CHECK(weir_histogram_count(scene->histogram) >= count);
    if (count > 0) CHECK(median >= 980 && median <= 2040);
    weir_histogram_merge(scene->copy, scene->histogram);
    member->done++;
}

TEST(stress, a_histogram_loses_nothing)
{
    struct histogram_scene scene;
    CHECK_EQ(weir_histogram_create(&scene.histogram), WEIR_E_NONE);
    CHECK_EQ(weir_histogram_create(&scene.copy), WEIR_E_NONE);
    uint64_t recorded = team_run(histogram_body, histogram_look, &scene);
    CHECK_EQ(weir_histogram_count(scene.histogram), recorded);
    uint64_t before = weir_histogram_count(scene.copy);
    weir_histogram_merge(scene.copy, scene.histogram);
    CHECK_EQ(weir_histogram_count(scene.copy), before + recorded);
    weir_histogram_destroy(scene.copy);
    weir_histogram_destroy(scene.histogram);
}
