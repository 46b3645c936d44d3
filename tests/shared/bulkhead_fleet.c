#include "shared/bulkhead_fleet.h"

#include <string.h>

static void ring(void *argument)
{
    ((struct instance *)argument)->rung = true;
}

static void told(void *argument, const struct weir_share_event *event)
{
    struct instance *instance = argument;
    instance->last = *event;
    instance->told++;
}

uint64_t fleet_random(struct fleet *fleet, uint64_t below)
{
    fleet->random = fleet->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (fleet->random >> 33) % below;
}

static struct weir_instants instants(const struct fleet *fleet)
{
    return (struct weir_instants) { fleet->now_ns, fleet->now_ns };
}

static int64_t wall_us(const struct fleet *fleet)
{
    return (int64_t)(fleet->now_ns / 1000) + fleet->skew_us;
}

void fleet_create(struct fleet *fleet, uint32_t count, const struct weir_bulkhead_config *bulkhead,
    const struct weir_share_config *share, uint64_t seed)
{
    memset(fleet, 0, sizeof *fleet);
    fleet->now_ns = START;
    fleet->random = seed;
    fleet->skew_us = INT64_C(1800000000000000);
    fleet->count = count;
    fleet->limit = bulkhead->limit;
    for (uint32_t i = 0; i < count; i++) {
        struct instance *instance = &fleet->instance[i];
        struct weir_carrier carrier = {
            .size = sizeof carrier, .nodes = 1, .ring = ring, .argument = instance
        };
        struct weir_share_sink sink = { told, instance };
        struct weir_link_config link = {
            .size = sizeof link, .instance = { seed, i + 1 }, .carrier = &carrier, .sink = &sink
        };
        struct weir_share_config shared = *share;
        CHECK_EQ(weir_link_create(&link, &instance->link), WEIR_E_NONE);
        shared.link = instance->link;
        CHECK_EQ(weir_bulkhead_create(bulkhead, &instance->bulkhead), WEIR_E_NONE);
        CHECK_EQ(weir_policy_share(instance->bulkhead, &shared), WEIR_E_NONE);
        instance->pipeline = around(instance->bulkhead);
    }
}

void fleet_up(struct fleet *fleet, bool up)
{
    fleet->down = !up;
    for (uint32_t i = 0; i < fleet->count; i++) {
        struct instance *instance = &fleet->instance[i];
        if (!up && instance->flies) {
            struct weir_answer none = { .kind = WEIR_ANSWER_UNKNOWN };
            weir_link_answer(instance->link, instance->ask.ticket, &none, instants(fleet));
            instance->flies = false;
        }
        weir_link_report(
            instance->link, 0, WEIR_LANE_BULK, up ? WEIR_LANE_UP : WEIR_LANE_DOWN, 7, instants(fleet));
        instance->next_ns = fleet->now_ns;
    }
}

static void pull(struct fleet *fleet, struct instance *instance)
{
    if (instance->flies ||
        !weir_link_pull(instance->link, 0, WEIR_LANE_BULK, instants(fleet), &instance->ask))
        return;
    instance->flies = true;
    instance->ran = false;
    bool lost = fleet->lossy && fleet_random(fleet, 8) == 0,
         unheard = fleet->lossy && fleet_random(fleet, 8) == 0;
    uint64_t most = fleet->lag_ns + 1;
    instance->runs_ns = lost ? WEIR_NEVER : fleet->now_ns + fleet_random(fleet, most);
    instance->answered_ns = lost || unheard ? WEIR_NEVER : instance->runs_ns + fleet_random(fleet, most);
}

static void deliver(struct fleet *fleet, struct instance *instance)
{
    if (!instance->flies) return;
    if (!instance->ran && fleet->now_ns >= instance->runs_ns) {
        store_bulkhead_ask(&fleet->store, &instance->ask, wall_us(fleet), &instance->answer);
        instance->ran = true;
    }
    bool late = fleet->now_ns >= instance->ask.deadline_ns;
    if (fleet->now_ns < instance->answered_ns && !late) return;
    if (late) instance->answer.kind = WEIR_ANSWER_UNKNOWN;
    instance->flies = false;
    weir_link_answer(instance->link, instance->ask.ticket, &instance->answer, instants(fleet));
    instance->next_ns = fleet->now_ns;
}

static void work(struct fleet *fleet, struct instance *instance)
{
    for (struct visit *v = instance->visit; v < instance->visit + GUESTS_MAX; v++) {
        if (!v->there) continue;
        if (!v->runs) {
            enum weir_action action = look(&v->guest, fleet->now_ns);
            v->runs = action == WEIR_RUN;
            v->there = action != WEIR_DONE;
            instance->refused += !v->there;
            instance->entered += v->runs;
        }
        if (!v->runs || fleet->now_ns < v->until_ns) continue;
        go(&v->guest, fleet->now_ns);
        v->there = false;
    }
}

bool fleet_call(struct fleet *fleet, uint32_t which, uint32_t weight, uint64_t work_ms)
{
    struct instance *instance = &fleet->instance[which];
    struct visit *v = instance->visit;
    while (v < instance->visit + GUESTS_MAX && v->there) v++;
    if (v == instance->visit + GUESTS_MAX) return false;
    enum weir_action action = come(&v->guest, instance->pipeline, weight, NULL, fleet->now_ns);
    v->runs = action == WEIR_RUN;
    v->there = action != WEIR_DONE;
    v->until_ns = fleet->now_ns + work_ms * WEIR_MS;
    instance->refused += !v->there;
    instance->entered += v->runs;
    return v->there;
}

void fleet_tick(struct fleet *fleet)
{
    fleet->now_ns += WEIR_MS;
    for (uint32_t i = 0; i < fleet->count; i++) {
        struct instance *instance = &fleet->instance[i];
        if (instance->dead) {
            if (instance->flies && !instance->ran && fleet->now_ns >= instance->runs_ns) {
                store_bulkhead_ask(&fleet->store, &instance->ask, wall_us(fleet), &instance->answer);
                instance->ran = true; /* what it had sent arrives yet */
            }
            continue;
        }
        deliver(fleet, instance);
        if (instance->rung || fleet->now_ns >= instance->next_ns) {
            instance->rung = false;
            instance->next_ns = weir_link_step(instance->link, instants(fleet));
        }
        pull(fleet, instance);
        work(fleet, instance);
    }
}

void fleet_run(struct fleet *fleet, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) fleet_tick(fleet);
}

static void end_calls(struct fleet *fleet, struct instance *instance)
{
    for (struct visit *v = instance->visit; v < instance->visit + GUESTS_MAX; v++) {
        if (!v->there) continue;
        if (v->runs) go(&v->guest, fleet->now_ns);
        else v->guest.step = weir_call_cancel(&v->guest.call, fleet->now_ns);
        v->there = false;
    }
}

void fleet_kill(struct fleet *fleet, uint32_t which)
{
    fleet->instance[which].dead = true;
    end_calls(fleet, &fleet->instance[which]);
}

void fleet_destroy(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->count; i++) {
        struct instance *instance = &fleet->instance[i];
        struct weir_answer none = { .kind = WEIR_ANSWER_UNKNOWN };
        end_calls(fleet, instance);
        if (instance->flies) weir_link_answer(instance->link, instance->ask.ticket, &none, instants(fleet));
        weir_link_close(instance->link, instants(fleet));
        CHECK_EQ(stats_of(instance->pipeline).limit, fleet->limit);
        weir_pipeline_destroy(instance->pipeline);
        weir_link_release(instance->link);
    }
}

uint32_t fleet_limit(const struct fleet *fleet, uint32_t which)
{
    return stats_of(fleet->instance[which].pipeline).limit;
}

uint32_t fleet_in_use(const struct fleet *fleet, uint32_t which)
{
    return stats_of(fleet->instance[which].pipeline).in_use;
}
