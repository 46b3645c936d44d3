#include "redis/fleet_faults.h"

#include "base/arithmetic.h"
#include "redis/support/await.h"
#include "redis/support/proxy.h"
#include "redis/support/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MAX 4000000
#define UP_MS 10000
#define STALL_NS (5 * LOG_NS_PER_MS)

const char *const fleet_fault_names[FAULTS] = { "freezes", "restarts", "flushes", "delays", "cuts", "resets",
    "stopped processes", "killed ones", "leaves" };

static struct fleet {
    struct fleet_words *words;
    struct history history;
    struct redis_server server;
    struct proxy *proxy;
    uint64_t random;
    pid_t child[PROCESSES + 1], watch;
    uint32_t place[FLEET], spare; /* processes; 0: nobody */
    enum fleet_fault deck[FAULTS];
    uint64_t deck_left;
    struct fleet_counts counts;
} fleet;

static uint64_t up_to(uint64_t most)
{
    return random_up_to(&fleet.random, most);
}

static void pause_up_to(uint64_t most_ms)
{
    poll(NULL, 0, (int)up_to(most_ms));
}

/* ---- who looks at the machine ---- */

static int64_t realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void note_drift(void)
{
    int64_t before_ns = history_now_ns(), real_ns = realtime_ns(), after_ns = history_now_ns();
    if (after_ns - before_ns > 1000) return; /* it was interrupted */
    history_add_at(&fleet.history, after_ns, LOG_DRIFT, 0, before_ns, real_ns - before_ns);
}

__attribute__((noreturn)) static void watch(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int64_t last_ns = history_now_ns();
    while (WORD(fleet.words->stop) == 0) {
        poll(NULL, 0, 1);
        int64_t now_ns = history_now_ns();
        if (now_ns - last_ns > STALL_NS) history_add(&fleet.history, LOG_STALL, 0, last_ns, now_ns - last_ns);
        last_ns = now_ns;
        note_drift();
    }
    exit(0);
}

/* ---- members ---- */

static struct process_words *words_of(uint32_t process)
{
    return &fleet.words->process[process];
}

/* All are there from the begin, as a fork beside threads is not. */
static void fork_all(uint64_t seed)
{
    fflush(NULL);
    fleet.watch = fork();
    if (fleet.watch == 0) watch();
    for (uint32_t i = 1; i <= PROCESSES; i++) {
        fleet.child[i] = fork();
        if (fleet.child[i] == 0) member_run(fleet.words, &fleet.history, i, seed);
        if (fleet.child[i] < 0) redis_die("no process");
    }
}

static void fill(uint32_t place)
{
    uint32_t process = fleet.spare++;
    history_add(&fleet.history, LOG_BORN, process, history_now_ns(), 0);
    fleet.place[place] = process;
    SET_WORD(words_of(process)->active, 1u);
    if (!AWAIT(WORD(words_of(process)->up) != 0, UP_MS)) redis_die("process %u does not come up", process);
}

static void reap(uint32_t process, int expected)
{
    int status = 0;
    waitpid(fleet.child[process], &status, 0);
    fleet.child[process] = 0;
    if (status != expected) redis_die("process %u ended with status %x", process, status);
}

static void bury(uint32_t place)
{
    uint32_t process = fleet.place[place];
    int64_t since_ns = history_now_ns();
    kill(fleet.child[process], SIGKILL);
    reap(process, SIGKILL);
    history_add(&fleet.history, LOG_GONE, process, since_ns, 0);
    fleet.place[place] = 0;
}

static void see_off(uint32_t place)
{
    uint32_t process = fleet.place[place];
    SET_WORD(words_of(process)->quit, 1u);
    reap(process, 0);
    fleet.place[place] = 0;
}

bool fleet_shares(void)
{
    for (int i = 0; i < FLEET; i++) {
        const struct process_words *words = words_of(fleet.place[i]);
        if (fleet.place[i] == 0 || WORD(words->up) == 0) return false;
        for (int object = 0; object < OBJECTS; object++) {
            if (WORD(words->own[object]) != 0) return false;
        }
    }
    return true;
}

unsigned fleet_opened(void)
{
    unsigned open = 0;
    for (int i = 0; i < FLEET; i++) open += fleet.place[i] != 0 && WORD(words_of(fleet.place[i])->open) != 0;
    return open;
}

void fleet_start(uint64_t seed)
{
    fleet = (struct fleet) { .random = seed, .spare = 1 };
    fleet.words = mmap(NULL, sizeof *fleet.words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fleet.words == MAP_FAILED) redis_die("no memory");
    history_create(&fleet.history, NULL, LOG_MAX);
    fork_all(seed);
    redis_server_start(&fleet.server, NULL);
    struct redis_address address = redis_server_unix(&fleet.server);
    fleet.proxy = proxy_start(&address, NULL);
    snprintf(fleet.words->address[0], sizeof fleet.words->address[0], "unix:%s", fleet.server.path);
    snprintf(fleet.words->address[1], sizeof fleet.words->address[1], "tcp://127.0.0.1:%u",
        proxy_address(fleet.proxy).port);
    history_add(&fleet.history, LOG_STAGE, UP, 0, 0);
    fleet_refill();
}

void fleet_enter(enum fleet_stage stage, uint32_t bad)
{
    history_add(&fleet.history, LOG_STAGE, stage, 0, bad != 0 ? fleet.place[0] : 0);
    for (uint32_t i = 0; i < FLEET; i++) {
        if (fleet.place[i] != 0) SET_WORD(words_of(fleet.place[i])->bad, i < bad);
    }
}

void fleet_murder(void)
{
    bury(1);
    bury(2);
}

void fleet_refill(void)
{
    for (uint32_t i = 0; i < FLEET; i++) {
        if (fleet.place[i] == 0) fill(i);
    }
}

/* ---- harm ---- */

/* While it certainly does not answer. */
static void stay_away(enum fleet_fault fault, uint64_t most_ms)
{
    int64_t since_ns = history_now_ns();
    pause_up_to(most_ms);
    history_add(&fleet.history, LOG_AWAY, fault, since_ns, 0);
}

static void harm_way(const struct proxy_faults *faults, uint64_t most_ms)
{
    proxy_set(fleet.proxy, faults);
    pause_up_to(most_ms);
    proxy_set(fleet.proxy, NULL);
}

static void cut(void)
{
    struct proxy_faults lost = { .replies.drop = up_to(1) == 0, .requests.drop = up_to(1) == 0 };
    lost.requests.drop |= !lost.replies.drop;
    harm_way(&lost, 1500);
}

static void stop_member(uint32_t place)
{
    kill(fleet.child[fleet.place[place]], SIGSTOP);
    pause_up_to(up_to(2) == 0 ? 2000 : 300);
    kill(fleet.child[fleet.place[place]], SIGCONT);
}

/* Who is bad stays, so that it is but one. */
static void do_harm(enum fleet_fault fault, uint32_t place)
{
    struct proxy_faults slow = { .replies.delay_ms = 1 + (unsigned)up_to(99) };
    switch (fault) {
    case FREEZE:
        redis_server_freeze(&fleet.server);
        stay_away(FREEZE, 2000);
        redis_server_thaw(&fleet.server);
        break;
    case RESTART:
        redis_server_kill(&fleet.server);
        stay_away(RESTART, 500);
        redis_server_restart(&fleet.server);
        break;
    case FLUSH: redis_server_flush(&fleet.server); break;
    case DELAY: harm_way(&slow, 600); break;
    case CUT: cut(); break;
    case RESET: proxy_break(fleet.proxy, PROXY_RESETS); break;
    case STOP: stop_member(place); break;
    case KILL: bury(place); break;
    default: see_off(place);
    }
}

static enum fleet_fault next_fault(void)
{
    if (fleet.deck_left == 0) {
        for (int i = 0; i < FAULTS; i++) fleet.deck[i] = (enum fleet_fault)i;
        fleet.deck_left = FAULTS;
    }
    uint64_t at = up_to(fleet.deck_left - 1);
    enum fleet_fault fault = fleet.deck[at];
    fleet.deck[at] = fleet.deck[--fleet.deck_left];
    return fault;
}

void fleet_harm(void)
{
    enum fleet_fault fault = next_fault();
    uint32_t place = 1 + (uint32_t)up_to(FLEET - 2);
    if (fleet.place[place] == 0 && (fault == STOP || fault == KILL || fault == LEAVE)) place = 0;
    if ((place == 0 && fault != STOP) || fleet.spare + FLEET > PROCESSES) return;
    int64_t since_ns = history_now_ns();
    uint32_t process = fleet.place[place];
    do_harm(fault, place);
    history_add(&fleet.history, LOG_FAULT, fault, since_ns, process);
    fleet.counts.faults[fault]++;
    pause_up_to(500);
    if (up_to(1) == 0) fleet_refill();
}

/* ---- the end ---- */

static void look_at_keys(void)
{
    static struct redis_answer answer, left;
    char *rest = NULL;
    redis_ask(&fleet.server, &answer, "KEYS", "*");
    for (char *key = strtok_r(answer.text, "\n", &rest); key != NULL; key = strtok_r(NULL, "\n", &rest)) {
        redis_ask(&fleet.server, &left, "PTTL", key);
        fleet.counts.keys++;
        if (left.integer == -1) fleet.counts.keys_for_ever++;
    }
}

static void look_at_all(void)
{
    look_at_keys();
    fleet.counts.questions = proxy_count(fleet.proxy, "EVALSHA");
    fleet.counts.repeated = proxy_repeated(fleet.proxy, "EVALSHA");
    for (int i = 1; i <= PROCESSES; i++) {
        fleet.counts.decisions += WORD(fleet.words->process[i].decisions);
        fleet.counts.late += WORD(fleet.words->process[i].late);
    }
}

size_t fleet_end(struct history_event **events, struct fleet_counts *counts)
{
    for (uint32_t i = 0; i < FLEET; i++) {
        if (fleet.place[i] != 0) see_off(i);
    }
    SET_WORD(fleet.words->stop, 1u);
    for (uint32_t i = 1; i <= PROCESSES; i++) {
        if (fleet.child[i] > 0) reap(i, 0);
    }
    fleet.child[0] = fleet.watch;
    reap(0, 0);
    look_at_all();
    proxy_stop(fleet.proxy);
    redis_server_stop(&fleet.server);
    fleet.counts.missing = history_missing(&fleet.history);
    *counts = fleet.counts;
    size_t count = history_read(&fleet.history, events);
    history_close(&fleet.history);
    munmap(fleet.words, sizeof *fleet.words);
    return count;
}
