#include "shared/carrier.h"

#include "base/arithmetic.h"
#include "support/test.h"

#include <stddef.h>
#include <string.h>

#define SLOW_NS (20 * WEIR_MS)
#define PAUSE_MIN_NS (10 * WEIR_MS)
#define PAUSE_MAX_NS WEIR_S

static void ring(void *argument)
{
    ((struct carrier *)argument)->rung = true;
}

void carrier_open(struct carrier *carrier, struct store *store, const uint64_t *world_ns, uint64_t instance,
    uint64_t seed, const struct weir_share_sink *sink)
{
    memset(carrier, 0, offsetof(struct carrier, flight));
    memset(carrier->sequence, 0, sizeof carrier->sequence);
    carrier->store = store;
    carrier->world_ns = world_ns;
    carrier->random = seed;
    carrier->lag_ns = WEIR_MS;
    struct weir_carrier ways = { .size = sizeof ways, .nodes = 1, .ring = ring, .argument = carrier };
    CHECK_EQ(weir_link_create(WEIR_CONFIG(weir_link_config, .instance = { seed | 1, instance },
                                  .carrier = &ways, .sink = sink),
                 &carrier->link),
        WEIR_E_NONE);
    for (int i = 0; i < WEIR_LANES; i++) carrier->lane[i].up_ns = *world_ns + 1;
}

struct weir_instants carrier_now(const struct carrier *carrier)
{
    return (struct weir_instants) { *carrier->world_ns - carrier->slept_ns, *carrier->world_ns };
}

static uint64_t draw(struct carrier *carrier, uint64_t most)
{
    return random_up_to(&carrier->random, most);
}

static bool chance(struct carrier *carrier, uint64_t percent)
{
    return percent != 0 && draw(carrier, 99) < percent;
}

static void note(struct carrier *carrier, uint64_t what)
{
    carrier->hash = mix64(carrier->hash ^ mix64(what ^ *carrier->world_ns));
}

static bool is_reachable(const struct carrier *carrier)
{
    return !carrier->parted && *carrier->world_ns >= carrier->store->away_ns;
}

/* ---- the store's end ---- */

/* When it is done at the earliest: later if the store is away, never if it is of another life. */
static bool is_due(const struct carrier *carrier, const struct carrier_flight *flight)
{
    uint64_t now_ns = *carrier->world_ns;
    return flight->there && !flight->done && flight->done_ns <= now_ns && now_ns >= carrier->store->away_ns;
}

static void do_due(struct carrier *carrier)
{
    for (struct carrier_flight *f = carrier->flight; f < carrier->flight + carrier->flights; f++) {
        if (!is_due(carrier, f)) continue;
        f->done = true;
        f->done_ns = *carrier->world_ns;
        if (f->server != carrier->store->server) {
            f->comes_ns = WEIR_NEVER;
        } else {
            f->ask.name = f->name;
            store_ask(carrier->store, &f->ask, *carrier->world_ns, &f->answer);
            carrier->seen.done++;
            carrier->seen.done_late += f->forgotten;
            struct carrier_lane *lane = &carrier->lane[f->lane];
            if (f->comes_ns != WEIR_NEVER) {
                f->comes_ns =
                    time_max(*carrier->world_ns + draw(carrier, carrier->lag_ns), lane->last_comes_ns);
                lane->last_comes_ns = f->comes_ns;
            }
        }
        if (f->forgotten) f->there = false;
    }
}

/* ---- the process's end ---- */

static void note_lease(struct carrier *carrier, const struct carrier_flight *flight)
{
    enum { WANT = 4, LEASE = 9 }; /* tokens, ms: weir/transport.h */
    if (flight->ask.kind == WEIR_ASK_BREAKER) carrier->heard++;
    if (flight->ask.kind != WEIR_ASK_RATE) return;
    carrier->wanted += (uint64_t)flight->ask.number[WANT];
    uint64_t end_ns = flight->done_ns + (uint64_t)flight->ask.number[LEASE] * WEIR_MS;
    carrier->lent_until_ns = time_max(carrier->lent_until_ns, end_ns);
}

static void answer(struct carrier *carrier, struct carrier_flight *flight, const struct weir_answer *answer)
{
    if (answer->kind == WEIR_ANSWER_DONE) note_lease(carrier, flight);
    note(carrier, answer->kind ^ (uint64_t)answer->number[0] << 8 ^ (uint64_t)answer->number[1] << 20);
    if (answer->kind == WEIR_ANSWER_UNKNOWN) carrier->seen.unknown++;
    if (answer->kind == WEIR_ANSWER_NOT_RUN || answer->kind == WEIR_ANSWER_ERROR) carrier->seen.refused++;
    carrier->told++;
    weir_link_answer(carrier->link, flight->ask.ticket, answer, carrier_now(carrier));
}

static void forget(struct carrier *carrier, struct carrier_flight *flight)
{
    static const struct weir_answer unknown = { .kind = WEIR_ANSWER_UNKNOWN };
    flight->forgotten = true;
    flight->there = !flight->done && flight->done_ns != WEIR_NEVER;
    answer(carrier, flight, &unknown);
}

static void report(struct carrier *carrier, enum weir_lane which, enum weir_lane_state state)
{
    struct carrier_lane *lane = &carrier->lane[which];
    if (lane->state == state) return;
    lane->state = state;
    note(carrier, 77 + which * 3u + state);
    carrier->seen.slow += state == WEIR_LANE_SLOW;
    carrier->told++;
    weir_link_report(
        carrier->link, 0, which, state, state == WEIR_LANE_DOWN ? 0 : lane->server, carrier_now(carrier));
}

static void cut(struct carrier *carrier, enum weir_lane which)
{
    struct carrier_lane *lane = &carrier->lane[which];
    for (struct carrier_flight *f = carrier->flight; f < carrier->flight + carrier->flights; f++) {
        if (f->there && !f->forgotten && f->lane == which) forget(carrier, f);
    }
    carrier->seen.cuts++;
    report(carrier, which, WEIR_LANE_DOWN);
    lane->up_ns = *carrier->world_ns + 2 * draw(carrier, carrier->lag_ns) + 1;
    lane->last_done_ns = lane->last_comes_ns = 0;
}

static void connect(struct carrier *carrier, enum weir_lane which)
{
    struct carrier_lane *lane = &carrier->lane[which];
    if (is_reachable(carrier)) {
        lane->server = carrier->store->server;
        lane->pause_ns = 0;
        lane->up_ns = WEIR_NEVER;
        carrier->seen.connected++;
        report(carrier, which, WEIR_LANE_UP);
        return;
    }
    uint64_t most_ns = time_max(3 * lane->pause_ns, 2 * PAUSE_MIN_NS);
    lane->pause_ns = time_min(PAUSE_MIN_NS + draw(carrier, most_ns - PAUSE_MIN_NS), PAUSE_MAX_NS);
    lane->up_ns = *carrier->world_ns + lane->pause_ns;
}

static void turn_lane(struct carrier *carrier, enum weir_lane which)
{
    struct carrier_lane *lane = &carrier->lane[which];
    uint64_t now_ns = *carrier->world_ns, mono_ns = carrier_now(carrier).monotonic_ns, oldest_ns = WEIR_NEVER;
    bool late = false;
    for (struct carrier_flight *f = carrier->flight; f < carrier->flight + carrier->flights; f++) {
        if (!f->there || f->forgotten || f->lane != which) continue;
        if (f->done && f->comes_ns <= now_ns && !carrier->parted) {
            f->there = false;
            answer(carrier, f, &f->answer);
            continue;
        }
        oldest_ns = time_min(oldest_ns, f->sent_ns);
        if (mono_ns >= f->ask.deadline_ns) late = true;
    }
    bool other = lane->state != WEIR_LANE_DOWN && lane->server != carrier->store->server && !carrier->parted;
    if (late || other) cut(carrier, which);
    if (lane->state == WEIR_LANE_DOWN && now_ns >= lane->up_ns) connect(carrier, which);
    if (lane->state == WEIR_LANE_DOWN) return;
    bool slow = oldest_ns != WEIR_NEVER && now_ns >= oldest_ns + SLOW_NS;
    report(carrier, which, slow ? WEIR_LANE_SLOW : WEIR_LANE_UP);
}

/* ---- what goes out ---- */

/* Questions that bear a sequence bear a greater one each time, whatever became of the last. */
static void look_at(struct carrier *carrier, const struct weir_ask *ask)
{
    CHECK(ask->count <= WEIR_NUMBERS_MAX);
    for (int i = 0; i < ask->count; i++) {
        CHECK(ask->number[i] < INT64_C(1) << 53);
        CHECK(ask->number[i] > -(INT64_C(1) << 53));
    }
    CHECK(ask->deadline_ns > carrier_now(carrier).monotonic_ns);
    note(carrier, ask->kind ^ (uint64_t)ask->number[0] << 4 ^ (uint64_t)ask->number[4] << 24);
    if (ask->kind >= WEIR_ASK_LOCK) return;
    CHECK(ask->number[0] > carrier->sequence[ask->kind]);
    carrier->sequence[ask->kind] = ask->number[0];
}

static void send(struct carrier *carrier, struct carrier_flight *flight, enum weir_lane which)
{
    if (flight == carrier->flight + carrier->flights) carrier->flights++;
    struct carrier_lane *lane = &carrier->lane[which];
    uint64_t now_ns = *carrier->world_ns;
    flight->sent_ns = now_ns;
    flight->lane = (uint8_t)which;
    flight->server = lane->server;
    flight->there = true;
    flight->done = flight->forgotten = false;
    flight->done_ns = time_max(now_ns + 1 + draw(carrier, carrier->lag_ns), lane->last_done_ns);
    lane->last_done_ns = flight->done_ns;
    flight->comes_ns = 0; /* drawn when it is done */
    carrier->seen.asked++;
    if (chance(carrier, carrier->loses_answers)) {
        lane->last_comes_ns = flight->comes_ns = WEIR_NEVER; /* and none after it on this lane */
        carrier->seen.lost_answers++;
    }
    if (carrier->parted || chance(carrier, carrier->loses_requests)) {
        lane->last_done_ns = flight->done_ns = WEIR_NEVER;
        carrier->seen.lost_requests++;
    }
}

static bool pull(struct carrier *carrier, enum weir_lane which)
{
    struct carrier_flight *flight = carrier->flight;
    while (flight < carrier->flight + carrier->flights && flight->there) flight++;
    if (flight == carrier->flight + CARRIER_FLIGHTS) return false;
    if (!weir_link_pull(carrier->link, 0, which, carrier_now(carrier), &flight->ask)) return false;
    look_at(carrier, &flight->ask);
    CHECK(strlen(flight->ask.name) < sizeof flight->name);
    strcpy(flight->name, flight->ask.name);
    send(carrier, flight, which);
    carrier->told++;
    return true;
}

void carrier_turn(struct carrier *carrier, bool runs)
{
    while (carrier->flights != 0 && !carrier->flight[carrier->flights - 1].there) carrier->flights--;
    do_due(carrier);
    if (!runs) return;
    for (int i = 0; i < WEIR_LANES; i++) turn_lane(carrier, (enum weir_lane)i);
    for (int rounds = 0; carrier->rung || carrier->wake_ns <= carrier_now(carrier).boottime_ns; rounds++) {
        CHECK(rounds < 1000); /* it must let time pass */
        struct weir_instants now = carrier_now(carrier);
        carrier->rung = false;
        carrier->told++;
        uint64_t next_ns = weir_link_step(carrier->link, now);
        carrier->wake_ns = time_add(now.boottime_ns, time_since(next_ns, now.monotonic_ns));
        if (next_ns == WEIR_NEVER) carrier->wake_ns = WEIR_NEVER;
    }
    for (int i = 0; i < WEIR_LANES; i++) {
        if (carrier->lane[i].state == WEIR_LANE_DOWN) continue;
        while (pull(carrier, (enum weir_lane)i)) continue;
    }
}

/* ---- when ---- */

static uint64_t next_of_flight(const struct carrier *carrier, const struct carrier_flight *flight, bool runs)
{
    uint64_t next_ns = WEIR_NEVER;
    if (!flight->done) next_ns = flight->done_ns;
    if (!flight->done && next_ns != WEIR_NEVER) next_ns = time_max(next_ns, carrier->store->away_ns);
    if (!runs || flight->forgotten) return next_ns;
    if (flight->done && !carrier->parted) next_ns = time_min(next_ns, flight->comes_ns);
    uint64_t slow_ns = flight->sent_ns + SLOW_NS;
    if (slow_ns > *carrier->world_ns) next_ns = time_min(next_ns, slow_ns);
    return time_min(next_ns, time_add(flight->ask.deadline_ns, carrier->slept_ns));
}

uint64_t carrier_next(const struct carrier *carrier, bool runs)
{
    uint64_t next_ns = WEIR_NEVER;
    for (const struct carrier_flight *f = carrier->flight; f < carrier->flight + carrier->flights; f++) {
        if (f->there) next_ns = time_min(next_ns, next_of_flight(carrier, f, runs));
    }
    if (!runs) return next_ns;
    if (carrier->rung) return *carrier->world_ns;
    for (int i = 0; i < WEIR_LANES; i++) {
        if (carrier->lane[i].state == WEIR_LANE_DOWN) next_ns = time_min(next_ns, carrier->lane[i].up_ns);
    }
    return time_min(next_ns, carrier->wake_ns);
}

void carrier_cut(struct carrier *carrier)
{
    for (int i = 0; i < WEIR_LANES; i++) cut(carrier, (enum weir_lane)i);
}

void carrier_close(struct carrier *carrier)
{
    carrier_cut(carrier);
    weir_link_close(carrier->link, carrier_now(carrier));
    weir_link_release(carrier->link);
    carrier->link = NULL;
}
