/* weir-fleet: four processes share a rate limit, a breaker, a bulkhead and a lock through one Redis, to which everything
 * happens that can.
 *
 *     weir-fleet [--seconds N] [--json FILE]
 *
 * Exit status: 0; 1 if a bound was broken; 2 if it could not run. It leaves nothing behind. */
#include "figures.h"

#include "support/server.h"

#include <weir/breaker.h>
#include <weir/clock.h>

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MIN 22
#define SECONDS_MAX 3600
#define SECONDS_STANDARD 33

static struct {
    struct arena *arena;
    struct redis_server server;
    char address[96]; /* for weir_redis_config */
    pid_t member[MEMBERS];
    unsigned victim; /* of PAUSED and MURDER; MEMBERS: none */
    struct phase_figures figures[PHASES];
} fleet = { .victim = MEMBERS };

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

static bool start_member(unsigned i)
{
    fflush(NULL);
    fleet.member[i] = fork();
    if (fleet.member[i] == 0) member_run(fleet.arena, i, fleet.address);
    return fleet.member[i] > 0;
}

/* ---- what happens ---- */

/* Stops the member that holds the lock, but not while it has the turn at the resource, which would stop all. */
static void pause_holder(void)
{
    for (fleet.victim = MEMBERS; fleet.victim == MEMBERS; usleep(1000)) {
        uint32_t holder = __atomic_load_n(&fleet.arena->resource.holder, __ATOMIC_RELAXED);
        if (holder == 0) continue;
        pid_t process = fleet.member[holder - 1];
        int status;
        kill(process, SIGSTOP);
        waitpid(process, &status, WUNTRACED);
        uint32_t turn = __atomic_load_n(&fleet.arena->resource.turn, __ATOMIC_ACQUIRE);
        uint32_t holding = __atomic_load_n(&fleet.arena->member[holder - 1].holding, __ATOMIC_RELAXED);
        if (holding != 0 && turn != (uint32_t)process) fleet.victim = holder - 1;
        else kill(process, SIGCONT);
    }
}

static void bury(unsigned i)
{
    kill(fleet.member[i], SIGKILL);
    waitpid(fleet.member[i], NULL, 0);
    struct member *member = &fleet.arena->member[i];
    __atomic_sub_fetch(&fleet.arena->in_use, member->in_use, __ATOMIC_RELAXED);
    member->in_use = 0;
    member->holding = 0;
    member->up = 0;
    for (int j = 0; j < BUCKETS; j++) changes_note(&member->changes[j], now(), false);
    fleet.member[i] = 0;
}

static void set_failing(unsigned from, unsigned to, uint32_t failing)
{
    for (unsigned i = from; i < to; i++)
        __atomic_store_n(&fleet.arena->member[i].failing, failing, __ATOMIC_RELAXED);
}

static bool enter(enum phase phase)
{
    switch (phase) {
    case STOPPED: redis_server_freeze(&fleet.server); return true;
    case THAWED: redis_server_thaw(&fleet.server); return true;
    case KILLED: redis_server_kill(&fleet.server); return true;
    case BACK: redis_server_restart(&fleet.server); return true;
    case FLUSHED: redis_server_flush(&fleet.server); return true;
    case ONE_BAD: set_failing(0, 1, 1); return true;
    case ALL_BAD: set_failing(0, MEMBERS, 1); return true;
    case WELL: set_failing(0, MEMBERS, 0); return true;
    case PAUSED: pause_holder(); return true;
    case MURDER:
        pause_holder();
        bury(fleet.victim);
        return true;
    default: return true;
    }
}

/* Within a phase: the fault is over, where it is not the next phase that ends it. */
static uint64_t fault_ns(enum phase phase)
{
    if (phase == PAUSED) return (LEASE_MS + GRACE_MS + 200) * WEIR_MS;
    return phase == MURDER ? 300 * WEIR_MS : 0;
}

static bool heal(enum phase phase)
{
    if (phase == PAUSED) return kill(fleet.member[fleet.victim], SIGCONT) == 0;
    if (phase == MURDER) return start_member(fleet.victim);
    return true;
}

/* ---- looking on ---- */

static unsigned count_open(void)
{
    unsigned open = 0;
    for (int i = 0; i < MEMBERS; i++) {
        const struct member *member = &fleet.arena->member[i];
        if (fleet.member[i] == 0) continue;
        uint32_t state = __atomic_load_n(&member->breaker, __ATOMIC_RELAXED);
        open += state == WEIR_BREAKER_OPEN || state == WEIR_BREAKER_HALF_OPEN;
    }
    return open;
}

/* Everything is shared, no call is left from before that, and somebody has written since: NULL. Else what is missing. */
static const char *what_is_missing(uint64_t since_ns)
{
    static const char *const shares[] = { "the relaxed rate is not shared", "the strict rate is not shared",
        "the breaker is not shared", "the bulkhead is not shared" };
    for (int i = 0; i < MEMBERS; i++) {
        const struct member *member = &fleet.arena->member[i];
        if (__atomic_load_n(&member->up, __ATOMIC_RELAXED) == 0) return "a member is not up";
        if (__atomic_load_n(&member->within, __ATOMIC_RELAXED) == 0) return "calls run beyond what is lent";
        for (int j = 0; j < 4; j++) {
            if (__atomic_load_n(&member->share[j], __ATOMIC_RELAXED) != WEIR_SHARE_SHARED) return shares[j];
        }
    }
    if (count_open() != 0) return "a breaker is open";
    bool written = __atomic_load_n(&fleet.arena->resource.last_ns, __ATOMIC_RELAXED) > since_ns;
    return written ? NULL : "nobody has written";
}

static void look(struct phase_figures *figure, uint64_t began_ns, uint64_t healed_ns)
{
    unsigned open = count_open();
    double since_s = (double)(now() - began_ns) / 1e9;
    if (figure->open_max < open) figure->open_max = open;
    if (open == MEMBERS && isnan(figure->open_s)) figure->open_s = since_s;
    for (int i = 0; i < MEMBERS; i++) {
        uint64_t votes = __atomic_load_n(&fleet.arena->member[i].votes, __ATOMIC_RELAXED);
        if (figure->votes_max < votes) figure->votes_max = votes;
    }
    if (healed_ns != 0 && isnan(figure->recover_s) && what_is_missing(healed_ns) == NULL) {
        figure->recover_s = (double)(now() - healed_ns) / 1e9;
    }
}

static bool is_to_recover(enum phase phase)
{
    return phase != STOPPED && phase != KILLED && phase != ALL_BAD;
}

/* A short phase lasts until it has recovered, or has had the time for it. */
static bool goes_on(const struct phase_figures *figure, enum phase phase, uint64_t now_ns, uint64_t healed_ns)
{
    if (!is_to_recover(phase) || !isnan(figure->recover_s)) return false;
    return now_ns < healed_ns + 3 * WEIR_S;
}

static bool run_phase(enum phase phase, double seconds)
{
    struct phase_figures *figure = &fleet.figures[phase];
    uint64_t began_ns = now(), healed_ns = 0;
    figure->open_s = figure->recover_s = NAN;
    fprintf(stderr, "%s ...\n", phase_names[phase]);
    fleet.arena->begin_ns[phase] = began_ns;
    __atomic_store_n(&fleet.arena->phase, phase, __ATOMIC_RELAXED);
    if (!enter(phase)) return false;
    uint64_t end_ns = began_ns + (uint64_t)(seconds * 1e9), heal_ns = now() + fault_ns(phase),
             last_ns = began_ns;
    for (uint64_t at_ns; (at_ns = now()) < end_ns || goes_on(figure, phase, at_ns, healed_ns); usleep(2000)) {
        figure->stall_s = fmax(figure->stall_s, (double)(at_ns - last_ns) / 1e9);
        last_ns = at_ns;
        if (healed_ns == 0 && at_ns >= heal_ns) {
            if (!heal(phase)) return false;
            healed_ns = now();
        }
        look(figure, began_ns, healed_ns);
    }
    if (isnan(figure->recover_s) && is_to_recover(phase))
        fprintf(stderr, "%s: not whole: %s\n", phase_names[phase], what_is_missing(healed_ns));
    figure->holder = fleet.arena->resource.holder;
    figure->token = fleet.arena->resource.last.token;
    return true;
}

/* ---- from begin to end ---- */

/* And for as long as what each had while it lived on its share is good. */
static bool everybody_is_up(void)
{
    for (uint64_t end_ns = now() + 10 * WEIR_S; now() < end_ns; usleep(2000)) {
        if (what_is_missing(0) != NULL) continue;
        usleep(RATE_LEASE_NS / WEIR_US);
        return true;
    }
    fprintf(stderr, "weir-fleet: the members do not come up\n");
    return false;
}

static bool run(double seconds)
{
    redis_server_start(&fleet.server, NULL);
    snprintf(fleet.address, sizeof fleet.address, "unix:%s", fleet.server.path);
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (!start_member(i)) return false;
    }
    if (!everybody_is_up()) return false;
    fleet.arena->in_use_max[HEALTHY] = 0; /* so far each lived on its share */
    for (int phase = 0; phase < PHASES; phase++) {
        if (!run_phase((enum phase)phase, seconds / PHASES)) {
            fprintf(stderr, "weir-fleet: %s: could not be brought about\n", phase_names[phase]);
            return false;
        }
    }
    fleet.arena->begin_ns[PHASES] = now();
    return true;
}

static bool end(void)
{
    bool good = true;
    __atomic_store_n(&fleet.arena->stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < MEMBERS; i++) {
        int status = 0;
        if (fleet.member[i] <= 0) continue;
        waitpid(fleet.member[i], &status, 0);
        good &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    redis_server_stop(&fleet.server);
    if (!good) fprintf(stderr, "weir-fleet: a member ended badly\n");
    return good;
}

int main(int count, char **arguments)
{
    const char *json = NULL;
    double seconds = SECONDS_STANDARD;
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(arguments[i], "--json") == 0 && *value != '\0') json = value;
        else if (strcmp(arguments[i], "--seconds") == 0) seconds = atof(value);
        else seconds = 0;
    }
    if (!(seconds >= SECONDS_MIN && seconds <= SECONDS_MAX)) {
        fprintf(stderr, "usage: weir-fleet [--seconds %d..%d] [--json FILE]\n", SECONDS_MIN, SECONDS_MAX);
        return 2;
    }
    fleet.arena = mmap(NULL, sizeof *fleet.arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fleet.arena == MAP_FAILED) return perror("weir-fleet: mmap"), 2;
    bool ran = run(seconds);
    if (!end() || !ran) return 2;
    figures_measure(fleet.arena, fleet.figures);
    report_table(fleet.figures);
    bool good = report_verdict(fleet.figures);
    if (json != NULL && !report_json(fleet.figures, json)) return 2;
    return good ? 0 : 1;
}
