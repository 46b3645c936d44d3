/* A fleet and its store under faults, on a virtual clock; all from a seed.
 *
 *     world.c         processes: how they are made, run, looked at, and end
 *     world_calls.c   who calls in them
 *     world_faults.c  what befalls them, by the seed's weather
 *     world_test.c    seeds, checkers, coverage */
#ifndef WEIR_TESTS_WORLD_H
#define WEIR_TESTS_WORLD_H

#include "base/arithmetic.h"
#include "shared/carrier.h"
#include "shared/checks.h"
#include "support/test.h"

#include <weir/lock.h>
#include <weir/weir.h>

#define WORLD_PROCESSES 8
/* No machine has been up for so long: who looks at its clock finds leases good. */
#define WORLD_BEGIN_NS (UINT64_C(100000000) * WEIR_S)
#define WORLD_RUN_NS (4 * WEIR_S)  /* under faults */
#define WORLD_CALM_NS (3 * WEIR_S) /* and then without */
#define WORLD_VISITS 12
#define WORLD_TRIALS 6
#define WORLD_STATES 5 /* of an object that is shared, or of a lock */

enum weather { WEATHER_FAULTS, WEATHER_LOSSES, WEATHER_JUMPS, WEATHER_LIES, WEATHERS };

enum fault {
    FAULT_PART,
    FAULT_LOSE_REQUESTS,
    FAULT_LOSE_ANSWERS,
    FAULT_LAG,
    FAULT_CUT,
    FAULT_STOP_STORE,
    FAULT_STOP_PROCESS,
    FAULT_SLEEP,
    FAULT_KILL_PROCESS,
    FAULT_READ_ONLY,
    FAULT_ERRORS,
    FAULTS_ALWAYS,
    FAULT_FLUSH = FAULTS_ALWAYS, /* LOSSES */
    FAULT_KILL_STORE,
    FAULT_FAIL_OVER,
    FAULT_FORWARD, /* JUMPS */
    FAULT_BACK,
    FAULT_LIES, /* LIES */
    FAULTS
};

struct world_visit { /* a call that has, or waits for, permits of the bulkhead */
    struct weir_call call;
    struct weir_step step;
    int64_t id;
    uint32_t weight;
    bool there;
};

struct world_trial { /* a call behind the breaker */
    struct weir_permit permit;
    int64_t epoch; /* of the turn in which it probes; 0: it does not */
    bool there;
};

struct world_last { /* what was last seen of it */
    int64_t state[SEEN_OBJECTS], instances[SEEN_OBJECTS], wanted, heard, lent_ns, lease_ns, epoch, opened,
        token;
    uint64_t valid_ns, told;
    bool parted, holds, fleet_is_open;
};

struct process {
    uint16_t number;
    bool lives, ill;  /* ill: its calls behind the breaker fail */
    uint64_t idle_ns; /* until then it does not run: stopped, or dead */
    uint64_t lose_end_ns, lag_end_ns, part_end_ns;
    uint64_t next_ns, carrier_ns;   /* in all, and of its carrier */
    uint64_t call_ns[SEEN_OBJECTS]; /* the next call of each kind */
    uint64_t mood_ns;               /* when it has other habits */
    uint64_t due_ns;                /* the earliest of all that it will do by itself */
    bool busy;
    struct carrier carrier;
    struct weir_policy *rate, *breaker;
    struct weir_pipeline *pipeline; /* of the bulkhead */
    struct weir_lock *lock;
    /* When each visit ends, then each trial, one after the other; WEIR_NEVER: there is none. */
    uint64_t end_ns[WORLD_VISITS + WORLD_TRIALS];
    struct world_visit visit[WORLD_VISITS];
    struct world_trial trial[WORLD_TRIALS];
    struct world_last last;
};

struct world {
    uint64_t seed, random, now_ns;
    /* Drawn once. */
    enum weather weather;
    uint32_t count; /* of processes */
    uint64_t permits, burst, lease_max, rate_lease_ns, bulkhead_lease_ns, lock_lease_ns;
    uint32_t limit, probes;
    enum weir_away away;
    bool strict, one_is_ill;
    /* As it goes. */
    struct store store;
    struct process process[WORLD_PROCESSES];
    uint64_t fault_ns, mood_end_ns, replicated_ns, well_ns;
    uint64_t passed_ns; /* when somebody's breaker last let a call in */
    uint64_t faults_ns; /* the next that faults_turn() has to do */
    uint32_t restarts;
    bool calm;
    int64_t calls;
    struct weir_fence_guard guard;
    struct history_event *events;
    size_t count_events, room_events;
};

_Static_assert((int)WEIR_SHARE_STATES <= WORLD_STATES && (int)WEIR_LOCK_LOST < WORLD_STATES, "all fit");

struct world_seen { /* over all seeds */
    uint64_t fault[FAULTS], state[SEEN_LOCK][WEIR_SHARE_STATES], event[SEEN_KINDS];
    uint64_t struck[FAULTS][SEEN_OBJECTS][WORLD_STATES]; /* some object, in that state when it came */
    uint64_t stale_refused, lost, contended, refused_rate, refused_bulkhead, refused_breaker, reopened;
    uint64_t closed_by_fleet, events_dropped;
    struct carrier_seen carrier;
};

extern struct world world;
extern struct world_seen world_seen;

static inline uint64_t world_draw(uint64_t least, uint64_t most)
{
    return least + random_up_to(&world.random, most - least);
}

static inline bool world_chance(uint64_t percent)
{
    return world_draw(1, 100) <= percent;
}

static inline bool world_runs(const struct process *process)
{
    return process->lives && world.now_ns >= process->idle_ns;
}

/* Something of it, or of the store, is not as it was. */
static inline void world_touch(struct process *process)
{
    process->next_ns = process->carrier_ns = world.now_ns;
}

static inline uint64_t world_mono(const struct process *process)
{
    return carrier_now(&process->carrier).monotonic_ns;
}

void world_note(
    enum seen_kind kind, const struct process *process, enum seen_object object, int64_t a, int64_t b);

/* world.c */
void world_make(uint64_t seed);
void world_run(void); /* to the end, calm at last */
void world_end(void);
void process_begin(struct process *process);
void process_end(struct process *process); /* at once: nothing is given back */

/* world_calls.c */
void calls_begin(struct process *process);
bool calls_turn(struct process *process); /* whether any was due */
void calls_end(struct process *process);  /* without a word */

/* world_faults.c */
void faults_turn(void);
void faults_end(void); /* all is well from now on */

#endif
