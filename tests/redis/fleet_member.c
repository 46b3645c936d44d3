#include "redis/fleet_member.h"

#include "base/arithmetic.h"

#include <weir/call.h>
#include <weir/redis.h>
#include <weir/weir.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CALLERS 2
#define THREADS (1 + 2 * WORKERS + CALLERS)

static struct {
    struct fleet_words *all;
    struct process_words *mine;
    struct history *history;
    uint32_t process;
    uint64_t seed;
    int64_t boot_ns; /* CLOCK_BOOTTIME less CLOCK_MONOTONIC */
    struct weir_link *link;
    struct weir_policy *shared[OBJECTS];
    struct weir_pipeline *exact;
    int64_t admitted[RATES]; /* by the one thread that asks */
} self;

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

static int64_t boot_of(uint64_t monotonic_ns)
{
    return monotonic_ns == WEIR_NEVER ? INT64_MAX : (int64_t)monotonic_ns + self.boot_ns;
}

static void pause_ns(uint64_t ns)
{
    struct timespec span = { .tv_sec = (time_t)(ns / WEIR_S), .tv_nsec = (long)(ns % WEIR_S) };
    nanosleep(&span, NULL);
}

static bool is_over(void)
{
    return WORD(self.mine->quit) != 0 || WORD(self.all->stop) != 0;
}

static void require(enum weir_error error)
{
    if (error == WEIR_E_NONE) return;
    fprintf(stderr, "process %u: %s\n", self.process, weir_error_text());
    _exit(2);
}

/* ---- rates ---- */

/* Until when what was lent is good, before the decision and after it: whichever is later. */
static void decide(enum fleet_object object)
{
    struct weir_policy *rate = self.shared[object];
    uint64_t before_ns = weir_share_stats(rate).lease_end_ns;
    int64_t start_ns = history_now_ns();
    uint64_t now_ns = now();
    struct weir_outcome outcome = weir_rate_acquire_at(rate, 1, now_ns);
    int64_t end_ns = history_now_ns();
    struct weir_share_stats after = weir_share_stats(rate);
    uint64_t lease_ns = after.lease_end_ns > before_ns ? after.lease_end_ns : before_ns;
    SET_WORD(self.mine->decisions, self.mine->decisions + 1);
    if (end_ns - start_ns > LOG_NS_PER_MS) SET_WORD(self.mine->late, self.mine->late + 1);
    if (outcome.status != WEIR_OK) return;
    self.admitted[object]++;
    bool of_its_own = lease_ns == 0; /* AWAY_OPEN */
    int64_t left_ns = of_its_own ? INT64_MAX : (int64_t)(lease_ns - now_ns);
    history_add_at(self.history, end_ns, LOG_ADMIT, object, start_ns, left_ns);
}

/* In time with all others: at an even pace, then not at all, then all at once. */
static void *ask(void *nothing)
{
    while (!is_over()) {
        int64_t phase_ms = history_now_ns() / LOG_NS_PER_MS % 512;
        int times = phase_ms < 352 ? 1 : phase_ms < 480 ? 0 : 12;
        for (int i = 0; i < times; i++) {
            for (int object = 0; object < RATES; object++) decide((enum fleet_object)object);
        }
        pause_ns(2 * WEIR_MS);
    }
    return nothing;
}

/* ---- permits ---- */

static uint64_t draw(uint64_t *random, uint64_t most)
{
    return random_up_to(random, most);
}

static void note_call(enum fleet_object object, int64_t since_ns, uint64_t deadline_ns)
{
    int64_t until_ns = history_now_ns();
    history_add_at(self.history, until_ns, LOG_CALL, object, since_ns, boot_of(deadline_ns));
}

static bool hold_plain(uint64_t work_ns)
{
    struct weir_permit permit;
    if (weir_bulkhead_acquire(self.shared[PLAIN], 1, &permit).status != WEIR_OK) return false;
    int64_t since_ns = history_now_ns();
    pause_ns(work_ns);
    note_call(PLAIN, since_ns, WEIR_NEVER);
    weir_bulkhead_release(self.shared[PLAIN], &permit);
    return true;
}

/* Work that keeps to its deadline. */
static bool hold_exact(uint64_t work_ns)
{
    struct weir_call call;
    struct weir_step step = weir_call_begin(&call, self.exact, NULL, now());
    if (step.action != WEIR_RUN) return false;
    int64_t since_ns = history_now_ns();
    uint64_t deadline_ns = step.at_ns, left_ns = time_since(deadline_ns, now());
    pause_ns(time_min(work_ns, left_ns));
    note_call(EXACT, since_ns, deadline_ns);
    step = weir_call_settle(&call, step.attempt, (struct weir_outcome) { .status = WEIR_OK }, now());
    return step.action == WEIR_DONE;
}

static void *work_plain(void *argument)
{
    uint64_t random = self.seed + (uintptr_t)argument;
    while (!is_over()) {
        if (!hold_plain(draw(&random, 10 * WEIR_MS))) pause_ns(WEIR_MS);
    }
    return NULL;
}

static void *work_exact(void *argument)
{
    uint64_t random = self.seed + (uintptr_t)argument;
    while (!is_over()) {
        if (!hold_exact(draw(&random, 10 * WEIR_MS))) pause_ns(WEIR_MS);
    }
    return NULL;
}

/* ---- calls through the breaker ---- */

static void call_once(uint64_t work_ns)
{
    struct weir_policy *breaker = self.shared[BREAKER];
    struct weir_permit permit;
    if (weir_breaker_acquire_at(breaker, &permit, now()).status != WEIR_OK) return;
    int64_t since_ns = history_now_ns();
    pause_ns(work_ns);
    struct weir_outcome outcome = { .status = WORD(self.mine->bad) != 0 ? WEIR_FAILED : WEIR_OK };
    note_call(BREAKER, since_ns, WEIR_NEVER);
    weir_breaker_release_at(breaker, &permit, outcome, now());
}

/* Who is bad is loud: alone it is more than all others together, and nothing but their votes is in its way. */
static void *call(void *argument)
{
    uint64_t random = self.seed + (uintptr_t)argument;
    while (!is_over()) {
        bool loud = WORD(self.mine->bad) != 0;
        call_once(draw(&random, loud ? 2 * WEIR_MS : 20 * WEIR_MS));
        pause_ns(loud ? WEIR_MS : 50 * WEIR_MS);
    }
    return NULL;
}

/* ---- what it is made of ---- */

static struct weir_policy *create_rate(const char *name, enum weir_away away, bool strict)
{
    struct weir_policy *rate = NULL;
    require(weir_rate_create(
        WEIR_CONFIG(weir_rate_config, .name = name, .permits = RATE, .burst = BURST,
            .share = WEIR_CONFIG(weir_share_config, .link = self.link, .away = away, .instances = FLEET,
                .strict = strict, .lease_ns = LEASE_MS * WEIR_MS, .lease_max = strict ? HELD : HELD / FLEET)),
        &rate));
    return rate;
}

static struct weir_policy *create_bulkhead(const char *name, enum weir_away away, bool strict)
{
    struct weir_policy *bulkhead = NULL;
    require(
        weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .name = name, .limit = PERMITS,
                                 .share = WEIR_CONFIG(weir_share_config, .link = self.link, .away = away,
                                     .instances = FLEET, .strict = strict, .lease_ns = LEASE_MS * WEIR_MS)),
            &bulkhead));
    return bulkhead;
}

static struct weir_policy *create_breaker(void)
{
    struct weir_policy *breaker = NULL;
    require(weir_breaker_create(
        WEIR_CONFIG(weir_breaker_config, .name = "breaker", .window_ns = WEIR_S, .calls_min = 40,
            .z_tenths = WEIR_OFF32, .consecutive = WEIR_OFF32, .plain_percent = 30, .open_ns = 200 * WEIR_MS,
            .open_max_ns = 400 * WEIR_MS, .probes = PROBES, .probe_ns = 500 * WEIR_MS, .ramp_ns = WEIR_OFF,
            .share = WEIR_CONFIG(
                weir_share_config, .link = self.link, .sync_ns = SYNC_MS * WEIR_MS, .quorum_percent = 50)),
        &breaker));
    return breaker;
}

/* Told after it is so; decided at .now_ns, or later. */
static void note_turn(void *nothing, const struct weir_share_event *event)
{
    (void)nothing;
    bool opened = event->kind == WEIR_SHARE_FLEET_OPENED;
    if (!opened && event->kind != WEIR_SHARE_FLEET_CLOSED) return;
    history_add(self.history, LOG_TURN, opened, boot_of(event->now_ns), (int64_t)event->number);
}

/* Every other one by the proxy. */
static void create(void)
{
    require(weir_redis_create(
        WEIR_CONFIG(weir_redis_config, .address = self.all->address[self.process % 2], .space = "fleet",
            .thread = true, .sink = &(struct weir_share_sink) { .event = note_turn }),
        &self.link));
    self.shared[RELAXED] = create_rate("relaxed", WEIR_AWAY_SHARE, false);
    self.shared[STRICT] = create_rate("strict", WEIR_AWAY_SHARE, true);
    self.shared[CLOSED] = create_rate("closed", WEIR_AWAY_CLOSED, true);
    self.shared[OPEN] = create_rate("open", WEIR_AWAY_OPEN, true);
    self.shared[PLAIN] = create_bulkhead("plain", WEIR_AWAY_SHARE, false);
    self.shared[EXACT] = create_bulkhead("exact", WEIR_AWAY_CLOSED, true);
    self.shared[BREAKER] = create_breaker();
    require(weir_pipeline_create(NULL, &self.shared[EXACT], 1, &self.exact));
}

static void destroy(void)
{
    weir_pipeline_destroy(self.exact);
    for (int object = 0; object < OBJECTS; object++) weir_policy_release(self.shared[object]);
    weir_redis_close(self.link, 500 * WEIR_MS);
}

/* ---- looking ---- */

struct look {
    int64_t at_ns; /* before it looked */
    bool own, open;
    uint32_t instances;
    uint64_t lapses, epoch;
};

static void note_state(enum fleet_object object, bool own, uint32_t instances, int64_t since_ns)
{
    history_add(self.history, LOG_STATE, object, since_ns, (int64_t)instances << 1 | own);
}

/* What came and went between two looks is written down, too. */
static void look_at(enum fleet_object object, struct look *last)
{
    struct look look = { .at_ns = history_now_ns() };
    struct weir_share_stats stats = weir_share_stats(self.shared[object]);
    look.own = stats.state == WEIR_SHARE_DEGRADED || stats.state == WEIR_SHARE_DETACHED;
    look.instances = stats.instances;
    look.lapses = stats.changes[WEIR_SHARE_DEGRADED];
    if (!look.own && !last->own && look.lapses != last->lapses) {
        note_state(object, true, stats.instances, last->at_ns);
        note_state(object, false, stats.instances, look.at_ns);
    } else if (look.own != last->own || (look.own && look.instances != last->instances)) {
        note_state(object, look.own, stats.instances, last->at_ns);
    }
    SET_WORD(self.mine->own[object], look.own);
    if (object == BREAKER) {
        enum weir_breaker_state state = weir_breaker_stats(self.shared[BREAKER], now()).state;
        look.open = state == WEIR_BREAKER_OPEN || state == WEIR_BREAKER_HALF_OPEN;
        look.epoch = stats.epoch;
        if (look.open != last->open || look.epoch != last->epoch)
            history_add(self.history, LOG_LOOK, look.open, last->at_ns, (int64_t)stats.epoch);
        SET_WORD(self.mine->open, look.open);
    }
    *last = look;
}

static void look(struct look *last)
{
    for (int object = 0; object < OBJECTS; object++) look_at((enum fleet_object)object, &last[object]);
    SET_WORD(self.mine->up, 1u);
}

/* Of one that never lives on a share of its own all is accounted for. */
static void note_sums(void)
{
    struct weir_share_stats stats = weir_share_stats(self.shared[CLOSED]);
    int64_t spent = (int64_t)(stats.lent - stats.returned - stats.expired - stats.held);
    history_add(self.history, LOG_SUM, CLOSED, self.admitted[CLOSED], spent);
}

/* ---- from begin to end ---- */

/* As near to one another as two looks can be. */
static int64_t boottime_ahead(void)
{
    int64_t least_ns = INT64_MAX, ahead_ns = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t before_ns = now();
        int64_t boot_ns = history_now_ns();
        int64_t took_ns = (int64_t)(now() - before_ns);
        if (took_ns >= least_ns) continue;
        least_ns = took_ns;
        ahead_ns = boot_ns - (int64_t)before_ns - took_ns / 2;
    }
    return ahead_ns;
}

static void start(pthread_t thread[THREADS])
{
    for (uintptr_t i = 0; i < THREADS; i++) {
        void *(*job)(void *) = i < WORKERS ? work_plain : i < 2 * WORKERS ? work_exact : call;
        if (pthread_create(&thread[i], NULL, i == THREADS - 1 ? ask : job, (void *)i) != 0) _exit(3);
    }
}

static void live(void)
{
    struct look last[OBJECTS];
    pthread_t thread[THREADS];
    int64_t born_ns = history_now_ns();
    for (int i = 0; i < OBJECTS; i++) last[i] = (struct look) { .at_ns = born_ns };
    create();
    look(last);
    start(thread);
    while (!is_over()) {
        pause_ns(2 * WEIR_MS);
        look(last);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    note_sums();
    history_add(self.history, LOG_GONE, self.process, history_now_ns(), 0);
    destroy();
}

void member_run(struct fleet_words *words, struct history *history, uint32_t process, uint64_t seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    self.all = words;
    self.mine = &words->process[process];
    self.history = history;
    self.process = process;
    self.seed = mix64(seed + process);
    history->process = (uint16_t)process;
    while (WORD(self.mine->active) == 0) {
        if (WORD(words->stop) != 0) exit(0);
        poll(NULL, 0, 2);
    }
    self.boot_ns = boottime_ahead();
    live();
    exit(0);
}
