/* A shared breaker whose store is away, or has nothing to say, is an ordinary one bit for bit: the same random program
 * on a breaker that is not shared, on one whose link never came up, on one whose link goes up and down, and on one whose
 * fleet is closed. Equal are all verdicts (and with them the events), the words, and the windows. */
#include "shared/fleet_words.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOCAL, NEVER_UP, UP_AND_DOWN, FLEET_CLOSED, KINDS, CALLS = 12 };

struct call {
    bool there;
    struct weir_call call;
    struct weir_slot slot;
};

static struct subject {
    struct instance instance;
    struct weir_policy *policy;
    struct weir_ask ask;
    bool up, asked;
    struct call call[CALLS];
} subject[KINDS];
static uint64_t seed, chance, now;

#define MUST(condition)                                                                        \
    do {                                                                                       \
        bool holds_ = (condition);                                                             \
        if (!holds_) fprintf(stderr, "seed %" PRIu64 ", at %" PRIu64 "\n", seed, now - START); \
        CHECK(holds_ &&#condition[0]);                                                         \
    } while (0)

static uint64_t draw(uint64_t bound)
{
    return random_up_to(&chance, bound - 1);
}

static void build(void)
{
    struct weir_breaker_config config = { .size = sizeof config,
        .seed = seed,
        .window_ns = WEIR_S,
        .slow_ns = draw(2) == 0 ? WEIR_OFF : 50 * WEIR_MS,
        .open_ns = 20 * WEIR_MS,
        .open_max_ns = WEIR_S,
        .probe_ns = 100 * WEIR_MS,
        .probes = 1 + (uint32_t)draw(4),
        .ramp_ns = draw(2) == 0 ? WEIR_OFF : 50 * WEIR_MS,
        .overload_open_ns_max = draw(2) == 0 ? 0 : 30 * WEIR_MS };
    memset(subject, 0, sizeof subject);
    CHECK_EQ(weir_breaker_create(&config, &subject[LOCAL].policy), WEIR_E_NONE);
    for (int i = NEVER_UP; i < KINDS; i++) {
        join(&subject[i].instance, (uint64_t)i, &config);
        subject[i].policy = subject[i].instance.breaker;
    }
    report_lane(&subject[FLEET_CLOSED].instance, WEIR_LANE_UP, now);
    subject[FLEET_CLOSED].up = true;
}

static void answer_all(struct subject *one)
{
    const struct weir_answer unknown = { .kind = WEIR_ANSWER_UNKNOWN };
    const struct weir_answer closed = {
        .kind = WEIR_ANSWER_DONE, .count = 9, .number = { 0, 0, 0, 0, 2, 1 }
    };
    if (one->asked)
        weir_link_answer(one->instance.link, one->ask.ticket, one->up ? &closed : &unknown, at(now));
    one->asked = false;
}

static void drive(int kind)
{
    struct subject *one = &subject[kind];
    if (kind == UP_AND_DOWN && draw(8) == 0) {
        one->up = !one->up;
        answer_all(one);
        report_lane(&one->instance, one->up ? WEIR_LANE_UP : WEIR_LANE_DOWN, now);
    }
    if (draw(2) == 0) answer_all(one);
    if (one->asked) weir_link_step(one->instance.link, at(now));
    else one->asked = pull(&one->instance, &one->ask, now);
}

static struct weir_verdict begin(struct subject *one, int which, uint64_t random)
{
    struct call *call = &one->call[which];
    memset(call, 0, sizeof *call);
    call->call.flags = CALL_SEEDED;
    call->call.random = random;
    call->call.shard = (uint16_t)thread_shard();
    call->call.began_ns = now;
    struct weir_verdict verdict =
        one->policy->ops->admit(one->policy->config, one->policy->state, &call->slot, &call->call, now);
    call->there = verdict.kind == WEIR_PASS;
    return verdict;
}

static struct weir_verdict end(struct subject *one, int which, const struct weir_outcome *outcome)
{
    struct weir_outcome copy = *outcome;
    struct call *call = &one->call[which];
    call->there = false;
    return one->policy->ops->settle(
        one->policy->config, one->policy->state, &call->slot, &call->call, &copy, now);
}

static void check_same(struct weir_verdict a, struct weir_verdict b)
{
    MUST(a.kind == b.kind && a.reason == b.reason && a.flags == b.flags && a.event == b.event);
    MUST(a.at_ns == b.at_ns);
}

static void check_words(const struct subject *one)
{
    const struct breaker_state *a = subject[LOCAL].policy->state, *b = one->policy->state;
    bool slow = ((const struct breaker_config *)one->policy->config)->slow_ns != WEIR_NEVER;
    size_t size = slow ? sizeof *a : offsetof(struct breaker_state, slow);
    MUST(b->turn == 0 && b->wanted == 0);
    MUST(memcmp(a, b, size) == 0);
    MUST(memcmp(subject[LOCAL].policy->counters, one->policy->counters, sizeof(struct counters)) == 0);
}

static void one_step(bool is_ill)
{
    static const enum weir_status well[] = { WEIR_OK, WEIR_OK, WEIR_OK, WEIR_OK, WEIR_OK, WEIR_FAILED,
        WEIR_IGNORED, WEIR_OK };
    static const enum weir_status ill[] = { WEIR_FAILED, WEIR_FAILED, WEIR_FAILED, WEIR_OK, WEIR_FAILED,
        WEIR_OVERLOADED, WEIR_IGNORED, WEIR_FAILED };
    int which = (int)draw(CALLS);
    uint64_t random = draw(UINT64_MAX);
    struct weir_outcome outcome = { .status = (uint8_t)(is_ill ? ill : well)[draw(8)],
        .retry_after_ns = draw(50 * WEIR_MS) };
    bool ends = subject[LOCAL].call[which].there;
    struct weir_verdict first = { 0 };
    now += draw(8) == 0 ? draw(120 * WEIR_MS) : draw(4 * WEIR_MS);
    for (int i = 0; i < KINDS; i++) {
        if (i != LOCAL) drive(i);
        struct weir_verdict verdict =
            ends ? end(&subject[i], which, &outcome) : begin(&subject[i], which, random);
        if (i == LOCAL) first = verdict;
        check_same(first, verdict);
        if (i != LOCAL) check_words(&subject[i]);
    }
}

TEST(breaker_alone, bit_for_bit)
{
    struct weir_breaker_stats sum = { 0 };
    now = START;
    for (seed = 1; seed <= 60; seed++) {
        chance = seed;
        build();
        for (int i = 0; i < 1500; i++) one_step(i / 100 % 2 == 0);
        struct weir_breaker_stats stats = weir_breaker_stats(subject[LOCAL].policy, now);
        sum.opened += stats.opened;
        sum.reopened += stats.reopened;
        sum.closed += stats.closed;
        MUST(weir_share_state(subject[NEVER_UP].policy) == WEIR_SHARE_DEGRADED);
        MUST(weir_share_stats(subject[FLEET_CLOSED].policy).changes[WEIR_SHARE_SHARED] > 0);
        weir_policy_release(subject[LOCAL].policy);
        for (int i = NEVER_UP; i < KINDS; i++) {
            answer_all(&subject[i]);
            drop(&subject[i].instance, now);
        }
    }
    CHECK(sum.opened > 100);
    CHECK(sum.reopened > 100);
    CHECK(sum.closed > 100);
}
