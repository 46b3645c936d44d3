/* A lock's clocks, waits and news: what its machine (lib/shared/lock.c) may not touch.
 *
 * Who waits sleeps on `parker` or `releaser`, which the post of any news sets; on a link without a thread it drives it. News go
 * out on the driving thread, one lock's at a time, with `poster` saying so: a release waits until those of the loss
 * before it are out, lest they cancel the next one's contexts or make its descriptor readable, and a destroy until none
 * can come any more. */
#include "shared/lock.h"

#include "base/context.h"
#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DRIVE_NS (20 * WEIR_MS)

static struct weir_instants instants(void)
{
    return (struct weir_instants) { os_now_precise(), os_clock(CLOCK_BOOTTIME) };
}

/* ---- news ---- */

/* A word to wait at: nothing new, something, or somebody sleeps there. */
enum { QUIET, NEWS, SLEEPS };

static void wake(uint32_t *parker)
{
    if (atomic_swap_acq_rel(parker, (uint32_t)NEWS) == SLEEPS) os_wake(parker);
}

/* What runs under the lock's source is not told by its holder. */
static void cancel_source(const struct weir_lock *lock)
{
    if (lock->config.source != NULL)
        (void)weir_source_cancel(lock->config.source, lock->config.source_reason);
}

static void tell_loss(struct weir_lock *lock)
{
    static const uint64_t one = 1;
    const struct weir_lock_config *config = &lock->config;
    int error = errno;
    cancel_source(lock);
    if (lock->fd >= 0 && write(lock->fd, &one, sizeof one) < 0) errno = error; /* full: it is readable */
    if (config->lost != NULL) config->lost(config->lost_argument, lock);
}

static void post(struct weir_lock *lock)
{
    struct weir_link *link = lock->shared.link;
    shared_lock(link);
    uint8_t what = lock->quiet ? 0 : lock->news;
    lock->news = 0;
    atomic_store_relaxed(&lock->telling, (what & LOCK_NEWS_LOST) != 0 ? 1u : 0u);
    if (what != 0) lock->poster = &weir_thread;
    shared_unlock(link);
    if (what == 0) return;
    if ((what & LOCK_NEWS_LOST) != 0) {
        tell_loss(lock);
        atomic_store_release(&lock->telling, 0u);
    }
    wake(&lock->parker);
    wake(&lock->releaser);
    if (lock->config.waker.post != NULL) lock->config.waker.post(lock->config.waker.argument);
    shared_lock(link);
    lock->poster = NULL;
    shared_unlock(link);
}

/* With the link's lock taken: waits until nobody posts, or tells a loss. Whoever does it from the callback does not
 * wait for itself; nor does a child for a thread of its parent's. */
static void wait_for_poster(struct weir_lock *lock, bool loss_only)
{
    struct weir_link *link = lock->shared.link;
    for (uint32_t spins = 0; lock->poster != NULL && lock->poster != &weir_thread; spins++) {
        if (!process_is(lock->process)) return;
        if (loss_only && atomic_load_acquire(&lock->telling) == 0) return;
        shared_unlock(link);
        lock_pause(spins);
        shared_lock(link);
    }
}

/* ---- create, destroy ---- */

static enum weir_error set_up(struct weir_lock *lock, const struct weir_lock_config *config, const char *name)
{
    lock->fd = -1;
    if (config->fd) {
        lock->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (lock->fd < 0)
            return error_set(WEIR_E_SYSTEM, "the system has no descriptor for weir_lock_config.fd");
    }
    enum weir_error error = lock_enrol(lock, config, name, post);
    if (error != WEIR_E_NONE && lock->fd >= 0) close(lock->fd);
    return error;
}

enum weir_error weir_lock_create(const struct weir_lock_config *given, struct weir_lock **lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_create", "lock is NULL");
    struct weir_lock_config c;
    char name[WEIR_NAME_MAX + 1];
    enum weir_error error = lock_validate(given, &c, name);
    if (error != WEIR_E_NONE) return error;
    struct weir_lock *new = calloc(1, lock_size(c.link));
    if (new == NULL) return error_set(WEIR_E_NOMEM, "no memory for a lock");
    error = set_up(new, &c, name);
    if (error != WEIR_E_NONE) {
        free(new);
        return error;
    }
    if (c.source != NULL) weir_source_acquire(c.source);
    *lock = new;
    return WEIR_E_NONE;
}

void weir_lock_destroy(struct weir_lock *lock)
{
    if (lock == NULL) return;
    struct weir_source *source = lock->config.source;
    int fd = lock->fd;
    shared_lock(lock->shared.link);
    WEIR_REQUIRE(lock->poster != &weir_thread, "weir_lock_destroy", "called from the lock's own callback");
    lock->quiet = true;
    wait_for_poster(lock, false);
    shared_unlock(lock->shared.link);
    shared_leave(&lock->shared);
    if (fd >= 0) close(fd);
    weir_source_release(source);
}

/* ---- acquire ---- */

static void drain_fd(const struct weir_lock *lock)
{
    uint64_t count;
    int error = errno;
    if (lock->fd >= 0 && read(lock->fd, &count, sizeof count) < 0) errno = error; /* it was not readable */
}

/* Has it stepped soon: by its thread or loop, or by this thread, which is about to drive it. */
static void stir(struct weir_lock *lock, bool waits)
{
    if (waits && !shared_is_threaded(lock->shared.link)) shared_mark(&lock->shared);
    else shared_ring(&lock->shared);
}

static const struct weir_outcome no_link = { .status = WEIR_REJECTED, .reason = WEIR_REASON_LINK_DOWN };

/* False: it has ended at once, as the link is closed. */
static bool begin(struct weir_lock *lock, uint64_t deadline_ns, bool once, bool waits, const char *function)
{
    WEIR_REQUIRE(atomic_load_relaxed(&lock->word) == LOCK_WORD_FREE, function,
        "the lock is held, being acquired, or lost and not released yet: weir_lock_release() comes first");
    shared_lock(lock->shared.link);
    atomic_swap_acq_rel(&lock->parker, (uint32_t)QUIET);
    lock_begin(lock, deadline_ns, once);
    bool begun = !shared_is_closed(lock->shared.link);
    shared_unlock(lock->shared.link);
    stir(lock, waits);
    return begun;
}

void weir_lock_begin(struct weir_lock *lock, uint64_t deadline_ns)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_begin", "lock is NULL");
    const struct weir_waker *waker = &lock->config.waker;
    if (!process_is(lock->process)) lock->outcome = no_link;
    else if (begin(lock, deadline_ns, false, false, "weir_lock_begin")) return;
    if (waker->post != NULL) waker->post(waker->argument); /* a closed link posts nothing */
}

static void wake_waiter(void *argument)
{
    wake(argument);
}

/* Sleeps, or drives, until something may have changed. */
static void await(struct weir_lock *lock, uint32_t *parker, uint64_t until_ns)
{
    uint32_t seen = QUIET;
    if (!shared_is_threaded(lock->shared.link)) {
        if (atomic_load_acquire(parker) == QUIET) {
            shared_wait(lock->shared.link, time_min(until_ns, time_add(os_now_precise(), DRIVE_NS)));
        }
    } else if (atomic_cas_acq_rel(parker, &seen, (uint32_t)SLEEPS)) {
        os_park(parker, SLEEPS, until_ns);
    }
    atomic_swap_acq_rel(parker, (uint32_t)QUIET);
}

static void wait_until_acquired(
    struct weir_lock *lock, const struct weir_context *context, uint64_t deadline_ns)
{
    while (atomic_load_acquire(&lock->word) == LOCK_WORD_ACQUIRING) {
        enum weir_status status = weir_context_check(context, 0);
        bool over = os_now_precise() >= deadline_ns;
        if (status == WEIR_OK && !over) {
            await(lock, &lock->parker, deadline_ns);
            continue;
        }
        shared_lock(lock->shared.link);
        lock_end(lock,
            status == WEIR_OK
                ? lock_expired(lock)
                : (struct weir_outcome) { .status = WEIR_CANCELED, .reason = WEIR_REASON_CANCELED });
        shared_unlock(lock->shared.link);
        shared_ring(&lock->shared);
    }
}

static struct weir_outcome acquire(struct weir_lock *lock, const struct weir_context *context,
    uint64_t deadline_ns, struct weir_fence *fence, bool once, const char *function)
{
    WEIR_REQUIRE(lock != NULL, function, "lock is NULL");
    WEIR_REQUIRE(!shared_is_told_here(lock->shared.link), function,
        "called from an event or a callback of its link, for which it would wait: weir_lock_begin() does "
        "not");
    if (fence != NULL) *fence = (struct weir_fence) { 0, 0 };
    if (!process_is(lock->process)) return no_link;
    if (context == NULL) context = weir_context_current();
    if (context != NULL) deadline_ns = time_min(deadline_ns, context->deadline_ns);
    (void)begin(lock, deadline_ns, once, true, function);
    struct weir_watch watch;
    weir_context_watch(&watch, context, (struct weir_waker) { wake_waiter, &lock->parker });
    wait_until_acquired(lock, context, deadline_ns);
    weir_context_unwatch(&watch);
    shared_lock(lock->shared.link);
    struct weir_outcome outcome = lock->outcome;
    if (fence != NULL && outcome.status == WEIR_OK) *fence = lock->fence;
    shared_unlock(lock->shared.link);
    return outcome;
}

struct weir_outcome weir_lock_acquire(struct weir_lock *lock, const struct weir_context *context,
    uint64_t deadline_ns, struct weir_fence *fence)
{
    return acquire(lock, context, deadline_ns, fence, false, "weir_lock_acquire");
}

struct weir_outcome weir_lock_try(struct weir_lock *lock, const struct weir_context *context,
    uint64_t deadline_ns, struct weir_fence *fence)
{
    return acquire(lock, context, deadline_ns, fence, true, "weir_lock_try");
}

struct weir_outcome weir_lock_outcome(struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_outcome", "lock is NULL");
    shared_lock(lock->shared.link);
    struct weir_outcome outcome = lock->outcome;
    shared_unlock(lock->shared.link);
    return outcome;
}

/* ---- release ---- */

/* A closed link has forgotten what was not given back: nobody will say that it is. */
static bool is_given_back(struct weir_lock *lock, bool *closed)
{
    shared_lock(lock->shared.link);
    *closed = shared_is_closed(lock->shared.link);
    bool given_back = !*closed && lock_is_given_back(lock);
    shared_unlock(lock->shared.link);
    return given_back;
}

/* There may be several that wait: each passes on what woke it. */
static bool wait_until_given_back(struct weir_lock *lock, uint64_t deadline_ns)
{
    bool closed, given_back;
    do {
        await(lock, &lock->releaser, deadline_ns);
        given_back = is_given_back(lock, &closed);
    } while (!given_back && !closed && os_now_precise() < deadline_ns);
    atomic_swap_acq_rel(&lock->releaser, (uint32_t)NEWS);
    if (shared_is_threaded(lock->shared.link)) os_wake(&lock->releaser);
    return given_back;
}

enum weir_error weir_lock_release(struct weir_lock *lock, uint64_t deadline_ns)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_release", "lock is NULL");
    if (!process_is(lock->process)) return WEIR_E_NONE; /* it was the parent's */
    shared_lock(lock->shared.link);
    bool was_free = atomic_load_relaxed(&lock->word) == LOCK_WORD_FREE;
    bool untold = lock_release(lock, instants());
    wait_for_poster(lock, true);
    bool closed = shared_is_closed(lock->shared.link);
    bool given_back = closed ? was_free : lock_is_given_back(lock);
    shared_unlock(lock->shared.link);
    if (untold) cancel_source(lock);
    drain_fd(lock);
    bool waits =
        !given_back && !closed && !shared_is_told_here(lock->shared.link) && os_now_precise() < deadline_ns;
    stir(lock, waits);
    if (waits) given_back = wait_until_given_back(lock, deadline_ns);
    if (given_back) return WEIR_E_NONE;
    return error_set(WEIR_E_TIMEOUT, "weir_lock_release: the store has not said yet that the lock is free");
}

/* ---- what it is ---- */

enum weir_lock_state weir_lock_check(struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_check", "lock is NULL");
    return lock_check(lock, os_clock(CLOCK_BOOTTIME));
}

enum weir_lock_state weir_lock_check_at(struct weir_lock *lock, uint64_t boottime_ns)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_check_at", "lock is NULL");
    return lock_check(lock, boottime_ns);
}

uint64_t weir_lock_valid_until(struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_valid_until", "lock is NULL");
    return lock_valid_until(lock, os_clock(CLOCK_BOOTTIME));
}

uint64_t weir_lock_deadline_ns(struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_deadline_ns", "lock is NULL");
    struct weir_instants now = instants();
    uint64_t valid_ns = lock_valid_until(lock, now.boottime_ns);
    return valid_ns == 0 ? 0 : now.monotonic_ns + time_since(valid_ns, now.boottime_ns);
}

struct weir_fence weir_lock_fence(struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_fence", "lock is NULL");
    struct weir_fence fence = { 0, 0 };
    shared_lock(lock->shared.link);
    if (weir_lock_valid_until(lock) != 0) fence = lock->fence;
    shared_unlock(lock->shared.link);
    return fence;
}

int weir_lock_fd(const struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_fd", "lock is NULL");
    return lock->fd;
}

const char *weir_lock_state_text(enum weir_lock_state state)
{
    static const char *const texts[] = { "free", "acquiring", "held", "suspect", "lost" };
    return (unsigned)state <= WEIR_LOCK_LOST ? texts[state] : "?";
}

struct weir_lock_stats weir_lock_stats(struct weir_lock *lock)
{
    WEIR_REQUIRE(lock != NULL, "weir_lock_stats", "lock is NULL");
    enum weir_lock_state state = weir_lock_check(lock);
    shared_lock(lock->shared.link);
    struct weir_lock_stats stats = lock->stats;
    for (uint32_t i = 0; i < LOCK_ACQUISITIONS; i++) {
        stats.ghosts += i != lock->current && lock->acquisition[i].there != 0;
    }
    shared_unlock(lock->shared.link);
    stats.state = state;
    stats.share = shared_report(&lock->shared);
    return stats;
}
