/* Locks of three processes under faults of a real server and of the processes: their merged history. LOCK_ACQUISITIONS
 * says how many (./dev soak: 2000), LOCK_SEED which faults.
 *   - at most one of them holds, by CLOCK_BOOTTIME, from its acquire to its release or the end of its lease;
 *   - tokens rise in that order;
 *   - of the writes to what it protects, late ones among them, none is admitted after one with a greater token. */
#include "redis/carrier.h"
#include "redis/support/history.h"

#include "base/arithmetic.h"

#include <weir/lock.h>

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PROCESSES 3
#define LEASE_NS (300 * WEIR_MS)

enum { HELD = 1, ENDED, WRITTEN, REFUSED };

static struct history history;
static struct shared_words {
    uint32_t stop, acquired, mutex;
    struct weir_fence_guard guard;
    uint64_t written; /* the greatest token, under the mutex */
    uint64_t stale_admitted;
} * words;

static uint64_t number_of(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text == NULL ? standard : strtoull(text, NULL, 10);
}

/* Who is stopped in here keeps the others waiting, no more. */
static void write_under(struct weir_fence fence)
{
    uint32_t nobody = 0;
    while (
        !__atomic_compare_exchange_n(&words->mutex, &nobody, 1u, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        nobody = 0;
        poll(NULL, 0, 1);
    }
    bool admitted = weir_fence_admit(&words->guard, fence);
    if (admitted && fence.token < words->written) words->stale_admitted++;
    if (admitted) words->written = fence.token;
    __atomic_store_n(&words->mutex, 0u, __ATOMIC_SEQ_CST);
    history_add(&history, admitted ? WRITTEN : REFUSED, 0, (int64_t)fence.token, 0);
}

/* Holds it for up to a lease and a half, writing; then once more after its end. */
static void hold(struct weir_lock *lock, struct weir_fence fence, uint64_t *random)
{
    uint64_t rounds = random_up_to(random, 15);
    int64_t end_ns = history_now_ns();
    if (rounds == 15) rounds = 450;
    for (uint64_t i = 0; i < rounds; i++) {
        enum weir_lock_state state = weir_lock_check(lock);
        if (state == WEIR_LOCK_LOST) break;
        end_ns = history_now_ns();
        uint64_t valid_ns = weir_lock_valid_until(lock);
        if (valid_ns != 0 && end_ns > (int64_t)valid_ns) end_ns = (int64_t)valid_ns;
        write_under(fence);
        poll(NULL, 0, 1);
    }
    history_add_at(&history, end_ns, ENDED, 0, (int64_t)fence.token, 0);
    (void)weir_lock_release(lock, weir_now(WEIR_TIMING_PRECISE) + 20 * WEIR_MS);
    if (rounds % 4 == 0) {
        poll(NULL, 0, 20);
        write_under(fence);
    }
}

static void work(const char *address, uint16_t process, uint64_t seed)
{
    struct weir_link *link;
    struct weir_lock *lock;
    struct weir_redis_config redis = weir_redis_config_init();
    struct weir_lock_config config = weir_lock_config_init();
    history.process = process;
    redis.address = address;
    redis.thread = true;
    redis.command_ns = 100 * WEIR_MS;
    if (weir_redis_create(&redis, &link) != WEIR_E_NONE) _exit(2);
    config.link = link;
    config.name = "x";
    config.lease_ns = LEASE_NS;
    config.poll_min_ns = WEIR_MS;
    config.poll_max_ns = 10 * WEIR_MS;
    if (weir_lock_create(&config, &lock) != WEIR_E_NONE) _exit(3);
    while (__atomic_load_n(&words->stop, __ATOMIC_SEQ_CST) == 0) {
        struct weir_fence fence;
        uint64_t until_ns = weir_now(WEIR_TIMING_PRECISE) + 500 * WEIR_MS;
        if (weir_lock_acquire(lock, NULL, until_ns, &fence).status != WEIR_OK) continue;
        int64_t at_ns = history_now_ns();
        if (weir_lock_check(lock) != WEIR_LOCK_LOST)
            history_add_at(&history, at_ns, HELD, 0, (int64_t)fence.token, 0);
        __atomic_fetch_add(&words->acquired, 1, __ATOMIC_SEQ_CST);
        hold(lock, fence, &seed);
    }
    weir_lock_destroy(lock);
    weir_redis_close(link, WEIR_S);
    _exit(0);
}

/* One fault after the other, with a pause in which all is well. */
static void harm(struct redis_server *server, const pid_t *children, uint64_t *random)
{
    int most_ms = (int)(LEASE_NS / WEIR_MS * 2);
    pid_t child = children[random_up_to(random, PROCESSES - 1)];
    switch (random_up_to(random, 4)) {
    case 0:
        redis_server_freeze(server);
        poll(NULL, 0, (int)random_up_to(random, (uint64_t)most_ms));
        redis_server_thaw(server);
        break;
    case 1:
        redis_server_kill(server);
        poll(NULL, 0, (int)random_up_to(random, 200));
        redis_server_restart(server);
        break;
    case 2: (void)redis_obeys(server, "CLIENT", "KILL", "TYPE", "normal"); break;
    default:
        kill(child, SIGSTOP);
        poll(NULL, 0, (int)random_up_to(random, (uint64_t)most_ms));
        kill(child, SIGCONT);
    }
    poll(NULL, 0, (int)random_up_to(random, 600));
}

/* In the order of time; who holds is the process of the last HELD that has not ENDED. */
static void judge(uint64_t seed)
{
    struct history_event *events;
    size_t count = history_read(&history, &events);
    uint64_t held = 0, refused = 0, written = 0;
    int64_t token = 0;
    int holder = 0;
    CHECK_EQ(history_missing(&history), 0);
    for (size_t i = 0; i < count; i++) {
        const struct history_event *event = &events[i];
        written += event->kind == WRITTEN;
        refused += event->kind == REFUSED;
        if (event->kind == ENDED && holder == event->process) holder = 0;
        if (event->kind != HELD) continue;
        if (holder != 0 || event->a <= token) {
            check_failed(__FILE__, __LINE__,
                "seed %" PRIu64 ": process %d holds %" PRId64 ", process %d held %" PRId64, seed,
                event->process, event->a, holder, token);
        }
        holder = event->process;
        token = event->a;
        held++;
    }
    free(events);
    fprintf(stderr,
        "seed %" PRIu64 ": %" PRIu64 " holders, %" PRIu64 " writes, %" PRIu64 " late ones refused\n", seed,
        held, written, refused);
    CHECK_EQ(words->stale_admitted, 0);
    CHECK(held > 0);
    CHECK(refused > 0);
}

TEST(lock_history, one_holder_rising_fences_no_stale_write)
{
    uint64_t seed = number_of("LOCK_SEED", (uint64_t)getpid()), random = seed;
    uint64_t acquisitions = number_of("LOCK_ACQUISITIONS", 150);
    struct redis_server server;
    pid_t children[PROCESSES];
    redis_server_start(&server, NULL);
    struct place place = unix_of(&server);
    history_create(&history, NULL, 2000000);
    words = mmap(NULL, sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(words != MAP_FAILED);
    for (uint16_t i = 0; i < PROCESSES; i++) {
        fflush(NULL);
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) work(place.text, (uint16_t)(i + 1), seed + i);
    }
    int64_t until_ms = await_now_ms() + 30000 + (int64_t)acquisitions * 100;
    while (__atomic_load_n(&words->acquired, __ATOMIC_SEQ_CST) < acquisitions && await_now_ms() < until_ms) {
        harm(&server, children, &random);
    }
    __atomic_store_n(&words->stop, 1u, __ATOMIC_SEQ_CST);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
        CHECK_EQ(status, 0);
    }
    CHECK(words->acquired >= acquisitions);
    CHECK(AWAIT(redis_integer(&server, "EXISTS", "weir:{default:x}:k") == 0, 3000));
    judge(seed);
    redis_server_stop(&server);
}
