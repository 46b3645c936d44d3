/* A fleet on one store: whole links, the model of the script, answers that take their time, on a virtual clock.
 *
 * I11: an epoch never goes back, and at most `probes` are out in the whole fleet. I12: one that fails out of many opens
 * nothing. A merged trip is everywhere within one sync interval and one round trip. */
#include "shared/fleet_words.h"
#include "shared/store_breaker.h"

#include <inttypes.h>
#include <stdio.h>

enum { MEMBERS_MAX = 8, CALLS_MAX = 64, GHOSTS_MAX = 8, PROBES = 3 };
#define TICK WEIR_MS
#define LAG_MS 30 /* each way, at most */
#define PROBE_NS WEIR_S
#define STORE_OFFSET_US INT64_C(1800000000000000)

struct flight { /* a call under way */
    bool there, probe;
    uint64_t began_ns, ends_ns;
    struct weir_permit permit;
};

struct member {
    struct instance instance;
    enum { IDLE, TO_STORE, TO_MEMBER } post;
    struct weir_ask ask;
    struct weir_answer answer;
    uint64_t arrives_ns, epoch, down_until_ns;
    uint32_t fail_percent;
    struct flight flight[CALLS_MAX];
};

/* Given up by its member; the store may do it yet. */
struct ghost {
    uint64_t arrives_ns; /* 0: none */
    struct weir_ask ask;
};

static struct fleet {
    uint64_t seed, random, now, opened_ns, opened_epoch;
    uint32_t members;
    bool faults, lossy;
    bool faulted; /* there were any */
    struct store_breaker store;
    struct member member[MEMBERS_MAX];
    struct ghost ghost[GHOSTS_MAX];
    uint64_t opened, half_opened, closed, probes, most_out, downs, losses;
} fleet;

#define MUST(condition) must((condition), #condition)

static void must(bool holds, const char *text)
{
    if (!holds) {
        fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " ms: %s\n", fleet.seed, (fleet.now - START) / WEIR_MS,
            text);
    }
    CHECK(holds);
}

static uint64_t draw(uint64_t bound)
{
    return random_up_to(&fleet.random, bound - 1);
}

/* ---- the store, and the way to it ---- */

static void note_change(int64_t epoch, int64_t state)
{
    const struct store_breaker *store = &fleet.store;
    if (store->epoch == epoch) return;
    if (state == 0 && store->state == 1) {
        fleet.opened_ns = fleet.now;
        fleet.opened_epoch = (uint64_t)store->epoch;
    }
    fleet.opened += store->state == 1;
    fleet.half_opened += store->state == 2;
    fleet.closed += store->state == 0;
}

static void ask_store(const struct weir_ask *ask, struct weir_answer *answer)
{
    int64_t epoch = fleet.store.epoch, state = fleet.store.state;
    store_breaker_ask(&fleet.store, ask, STORE_OFFSET_US + (int64_t)(fleet.now / WEIR_US), answer);
    note_change(epoch, state);
}

static void give_up(struct member *member)
{
    for (int i = 0; i < GHOSTS_MAX && member->post == TO_STORE; i++) {
        if (fleet.ghost[i].arrives_ns != 0) continue;
        fleet.ghost[i] = (struct ghost) { fleet.now + draw(5 * WEIR_S), member->ask };
        break;
    }
    if (member->post != IDLE) {
        struct weir_answer unknown = { .kind = WEIR_ANSWER_UNKNOWN };
        weir_link_answer(member->instance.link, member->ask.ticket, &unknown, at(fleet.now));
    }
    member->post = IDLE;
}

static void move_post(struct member *member)
{
    if (member->post == IDLE || fleet.now < member->arrives_ns) return;
    if (member->post == TO_STORE) {
        ask_store(&member->ask, &member->answer);
        member->post = TO_MEMBER;
        member->arrives_ns = fleet.now + TICK * (1 + draw(LAG_MS));
        return;
    }
    member->post = IDLE;
    weir_link_answer(member->instance.link, member->ask.ticket, &member->answer, at(fleet.now));
}

static void drive(struct member *member)
{
    struct instance *instance = &member->instance;
    if (fleet.faults && member->down_until_ns == 0 && draw(5000) == 0) {
        give_up(member);
        report_lane(instance, WEIR_LANE_DOWN, fleet.now);
        member->down_until_ns = fleet.now + draw(4 * WEIR_S);
        fleet.downs++;
    }
    if (member->down_until_ns != 0 && fleet.now >= member->down_until_ns) {
        member->down_until_ns = 0;
        report_lane(instance, WEIR_LANE_UP, fleet.now);
    }
    move_post(member);
    instance->wake_ns = weir_link_step(instance->link, at(fleet.now));
    if (member->post != IDLE || member->down_until_ns != 0) return;
    if (!weir_link_pull(instance->link, 0, WEIR_LANE_BULK, at(fleet.now), &member->ask)) return;
    member->post = TO_STORE;
    member->arrives_ns = fleet.now + TICK * (1 + draw(LAG_MS));
}

static void move_store(void)
{
    struct weir_answer unread;
    for (int i = 0; i < GHOSTS_MAX; i++) {
        if (fleet.ghost[i].arrives_ns == 0 || fleet.now < fleet.ghost[i].arrives_ns) continue;
        fleet.ghost[i].arrives_ns = 0;
        ask_store(&fleet.ghost[i].ask, &unread);
    }
    if (!fleet.lossy || draw(8000) != 0) return;
    memset(&fleet.store, 0, sizeof fleet.store); /* FLUSHALL */
    fleet.opened_ns = 0;
    fleet.losses++;
}

/* ---- calls ---- */

/* Out, and not overdue: a probe that is has failed. */
static uint32_t probes_out(void)
{
    uint32_t out = 0;
    for (uint32_t m = 0; m < fleet.members; m++) {
        for (int i = 0; i < CALLS_MAX; i++) {
            const struct flight *flight = &fleet.member[m].flight[i];
            out += flight->there && flight->probe && fleet.now - flight->began_ns < PROBE_NS;
        }
    }
    return out;
}

/* Whose link was away is let off: what it does is its own affair. */
static bool is_connected(const struct member *member)
{
    return weir_share_state(member->instance.breaker) == WEIR_SHARE_SHARED;
}

static void check_admitted(struct member *member, struct flight *flight)
{
    uint64_t word = word_now(&member->instance);
    flight->probe = word_state(word) == HALF_OPEN && word_is_fleets(word) && is_connected(member);
    fleet.probes += flight->probe;
    uint32_t out = probes_out();
    if (out > fleet.most_out) fleet.most_out = out;
    if (fleet.losses == 0) MUST(out <= PROBES);
    bool everywhere = fleet.opened_ns != 0 && fleet.now > fleet.opened_ns + SYNC + (2 * LAG_MS + 2) * TICK;
    bool yet = fleet.store.state == 1 && (uint64_t)fleet.store.epoch == fleet.opened_epoch;
    if (!fleet.faulted) MUST(!(everywhere && yet));
}

static void begin_call(struct member *member)
{
    for (int i = 0; i < CALLS_MAX; i++) {
        struct flight *flight = &member->flight[i];
        if (flight->there) continue;
        if (!enter(&member->instance, &flight->permit, fleet.now)) return;
        flight->there = true;
        flight->began_ns = fleet.now;
        flight->ends_ns = fleet.now + TICK * (1 + draw(draw(50) == 0 ? 1500 : 20));
        check_admitted(member, flight);
        return;
    }
}

static void end_calls(struct member *member)
{
    for (int i = 0; i < CALLS_MAX; i++) {
        struct flight *flight = &member->flight[i];
        if (!flight->there || fleet.now < flight->ends_ns) continue;
        flight->there = false;
        bool fails = draw(100) < member->fail_percent;
        leave(&member->instance, &flight->permit, fails ? WEIR_FAILED : WEIR_OK, fleet.now);
    }
}

/* ---- a run ---- */

static void tick(void)
{
    fleet.now += TICK;
    move_store();
    for (uint32_t i = 0; i < fleet.members; i++) {
        struct member *member = &fleet.member[i];
        end_calls(member);
        if (draw(10) == 0) begin_call(member);
        drive(member);
        uint64_t epoch = weir_share_stats(member->instance.breaker).epoch;
        MUST(epoch >= member->epoch);
        member->epoch = epoch;
    }
}

static void run(uint64_t duration_ns)
{
    for (uint64_t end_ns = fleet.now + duration_ns; fleet.now < end_ns;) tick();
}

static void fail(uint32_t from, uint32_t to, uint32_t percent)
{
    for (uint32_t i = from; i < to; i++) fleet.member[i].fail_percent = percent;
}

static void build(uint64_t seed, uint64_t members)
{
    memset(&fleet, 0, sizeof fleet);
    fleet.seed = fleet.random = seed;
    fleet.now = START;
    fleet.members = (uint32_t)members;
    for (uint32_t i = 0; i < fleet.members; i++) {
        struct member *member = &fleet.member[i];
        join(&member->instance, seed * 16 + i + 1,
            WEIR_CONFIG(weir_breaker_config, .seed = seed + i, .open_ns = 500 * WEIR_MS,
                .open_max_ns = 4 * WEIR_S, .probes = PROBES, .successes = 2, .probe_ns = PROBE_NS,
                .ramp_ns = WEIR_OFF));
        report_lane(&member->instance, WEIR_LANE_UP, fleet.now);
    }
}

static void take_down(void)
{
    for (uint32_t m = 0; m < fleet.members; m++) {
        struct member *member = &fleet.member[m];
        give_up(member);
        for (int i = 0; i < CALLS_MAX; i++) {
            if (member->flight[i].there)
                leave(&member->instance, &member->flight[i].permit, WEIR_OK, fleet.now);
        }
        drop(&member->instance, fleet.now);
    }
}

static bool all_closed(void)
{
    for (uint32_t i = 0; i < fleet.members; i++) {
        if (word_state(word_now(&fleet.member[i].instance)) != CLOSED) return false;
    }
    return fleet.store.state == 0;
}

TEST(breaker_fleet, opens_everywhere_probes_in_turn_and_closes)
{
    uint64_t most = 0, turns = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        build(seed, 3 + seed % 6);
        run(3 * WEIR_S);
        fail(0, fleet.members, 100);
        run(12 * WEIR_S);
        MUST(fleet.opened >= 2 && fleet.half_opened >= 1 && fleet.closed == 0);
        fail(0, fleet.members, 0);
        run(8 * WEIR_S);
        MUST(fleet.closed >= 1 && all_closed());
        if (fleet.most_out > most) most = fleet.most_out;
        turns += fleet.half_opened;
        take_down();
    }
    CHECK_EQ(most, PROBES); /* they are used, and no more */
    CHECK(turns > 48);
}

TEST(breaker_fleet, one_that_fails_opens_nothing)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        build(seed, 2 + seed % 7);
        uint64_t tripped = 0;
        fail(0, 1, 100);
        run(25 * WEIR_S);
        for (uint32_t i = 0; i < fleet.members; i++)
            tripped += weir_share_stats(fleet.member[i].instance.breaker).tripped;
        MUST(tripped == 0 && fleet.opened == 0);
        MUST(weir_breaker_stats(fleet.member[0].instance.breaker, fleet.now).opened >= 1);
        for (uint32_t i = 1; i < fleet.members; i++) MUST(word_now(&fleet.member[i].instance) == 0);
        fail(0, 1, 0);
        run(8 * WEIR_S); /* and it heals by itself, while the fleet is closed */
        MUST(all_closed());
        take_down();
    }
}

TEST(breaker_fleet, heals_after_lost_lanes_late_questions_and_a_lost_store)
{
    uint64_t downs = 0, losses = 0, opened = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        build(seed, 3 + seed % 6);
        fleet.faults = fleet.faulted = true;
        fleet.lossy = seed % 2 == 0;
        for (int round = 0; round < 3; round++) {
            fail(0, (uint32_t)(1 + draw(fleet.members)), 60 + (uint32_t)draw(41));
            run(6 * WEIR_S);
            fail(0, fleet.members, 0);
            run(4 * WEIR_S);
        }
        fleet.faults = fleet.lossy = false;
        run(16 * WEIR_S);
        MUST(all_closed());
        for (uint32_t i = 0; i < fleet.members; i++) MUST(is_connected(&fleet.member[i]));
        downs += fleet.downs;
        losses += fleet.losses;
        opened += fleet.opened;
        take_down();
    }
    CHECK(downs > 100);
    CHECK(losses > 10);
    CHECK(opened > 24);
}
