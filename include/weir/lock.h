/* Locks for a fleet: one holder at a time of what several processes share, from a store, by a link (share.h).
 *
 *     struct weir_lock *lock;
 *     weir_lock_create(WEIR_CONFIG(weir_lock_config, .link = redis, .name = "nightly", .source = source), &lock);
 *     struct weir_fence fence;
 *     if (weir_lock_acquire(lock, NULL, now_ns + 2 * WEIR_S, &fence).status == WEIR_OK) {
 *         ... under contexts of `source`; each write carries the fence ...
 *         weir_lock_release(lock, now_ns + 100 * WEIR_MS);
 *     }
 *
 *               begin, acquire                granted                  2/3 of the lease without a renewal
 *     FREE ------------------> ACQUIRING ------------------> HELD <------------------------> SUSPECT
 *      ^  <--------------------    |     renewed every third of the lease       renewed         |
 *      |   deadline, cancel, refused        |  valid_until is past, or the store says no        |
 *      |                                    v                                                   |
 *      +------------- release ----------- LOST <------------------------------------------------+
 *
 * What it holds is a lease. It counts from before the question was sent, by CLOCK_BOOTTIME, so that it ends here before
 * it ends in the store; `grace_ns` later, there, for writes under way. Who holds the lock learns that it is lost by
 * this process's own clock, whether the store answers or not. That does not stop a write that is under way already: a
 * lock of this kind is advice, and the *fence* (fence.h) is what makes a stale write harmless.
 *
 * Not re-entrant: one handle, one holder; a second acquire aborts. A handle serves one acquisition after the other; more
 * handles of one name exclude one another. What is left of an acquisition in the store after its end (the answer to
 * a question was lost) is removed in the background. A lock that is held when its link is closed is LOST, and not given
 * back, as its holder may be writing yet: release it before. */
#ifndef WEIR_LOCK_H
#define WEIR_LOCK_H

#include <weir/context.h>
#include <weir/fence.h>
#include <weir/share.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_lock;

enum weir_lock_state {
    WEIR_LOCK_FREE,
    WEIR_LOCK_ACQUIRING,
    WEIR_LOCK_HELD,
    WEIR_LOCK_SUSPECT, /* held; a renewal is overdue: begin nothing long */
    WEIR_LOCK_LOST,    /* until it is released; it never turns back */
};

struct weir_lock_config {
    uint32_t size;
    struct weir_link *link; /* a reference is taken; with several servers, a majority of them grants it */
    const char *name;       /* copied */
    uint64_t
        lease_ns; /* 50 ms .. 1 h; default: 10 s. A holder knows of a loss by then; others wait for it and the grace */
    uint64_t
        grace_ns; /* more, in the store, after a loss, up to 1 h; default: half the lease; WEIR_OFF: none */
    uint64_t
        min_validity_ns;  /* an acquire with less left is given back; up to lease / 2; default: lease / 3 */
    uint64_t hold_max_ns; /* it is lost by then, renewed or not; from the lease on; default: no limit */
    uint64_t poll_min_ns,
        poll_max_ns; /* between questions while another holds it, 1 ms .. 60 s; default: 50 ms, 500 ms */
    /* How long a server that is not the one from before is not asked for the lock: it may have lost what it held.
     * 1 ms .. 24 h; default: lease + grace; WEIR_OFF: it is asked at once, as its data outlive it. */
    uint64_t settle_ns;
    /* At a loss, in this order, after weir_lock_check() says so: */
    struct weir_source
        *source; /* is canceled; a reference is taken. Resetting it before the next acquire is yours */
    int32_t source_reason;                                /* with this reason; default: 1 */
    bool fd;                                              /* weir_lock_fd() becomes readable */
    void (*lost)(void *argument, struct weir_lock *lock); /* is called, by who drives the link, outside of its
                                                            lock; must not block, acquire, or destroy the lock */
    void *lost_argument;                                  /* borrowed */
    struct weir_waker waker; /* posted whenever the state has changed, perhaps more often; for loops */
};
WEIR_CONFIG_INIT(weir_lock_config)

/* INVALID, SIZE, NOMEM, LIMIT, SYSTEM (no descriptor); INVALID also if the link has neither a thread nor a loop that steps
 * it: nobody would renew. Yours to destroy. */
WEIR_API WEIR_MUST_USE enum weir_error weir_lock_create(
    const struct weir_lock_config *config, struct weir_lock **lock);
/* Releases it, without waiting; what is left in the store is removed in the background. Waits until neither the callback
 * nor the waker is running. NULL: nothing. */
WEIR_API void weir_lock_destroy(struct weir_lock *lock);

/* Acquires it, waiting while another holds it or the store is away. The wait ends with the context (NULL: the thread's
 * current one, if there is any), and at deadline_ns (WEIR_NEVER: only with the context). A link without a thread
 * is driven by the waiting thread; there a cancel is seen within 20 ms.
 *     OK        held; *fence (may be NULL) says since which token
 *     EXPIRED   not in time; .reason LOCK_HELD or LINK_DOWN says what it waited for at last (DEADLINE: no answer has
 *               come), .retry_after_ns, if not 0, when the present lease of the other ends
 *     CANCELED  the context was, or weir_lock_release() was called meanwhile
 *     REJECTED  LINK_DOWN: the link is closed, or another process's
 * Aborts unless FREE: after a loss comes a release first; and in an event or a callback of the link, which it would wait
 * for. */
WEIR_API struct weir_outcome weir_lock_acquire(struct weir_lock *lock, const struct weir_context *context,
    uint64_t deadline_ns, struct weir_fence *fence);
/* The same, but another's holding it, or too few servers that answer, ends it: REJECTED, LOCK_HELD or LINK_DOWN.
 * Too few is also a link that is not connected yet: its connection for locks is made when it has its first lock. */
WEIR_API struct weir_outcome weir_lock_try(struct weir_lock *lock, const struct weir_context *context,
    uint64_t deadline_ns, struct weir_fence *fence);
/* Begins to acquire, and returns: for loops. The waker is posted at its end; weir_lock_check() then says HELD or FREE,
 * weir_lock_outcome() why. weir_lock_release() ends it before. */
WEIR_API void weir_lock_begin(struct weir_lock *lock, uint64_t deadline_ns);
/* How the last acquire ended, as above; OK also while none has. */
WEIR_API struct weir_outcome weir_lock_outcome(struct weir_lock *lock);

/* Gives it back: from the return on nothing here is held or renewed. Waits until deadline_ns (0, or in an event or a
 * callback of the link: not at all) for the store, or a majority, to say that it is free. TIMEOUT: not known yet, and
 * with 0 that is the answer wherever it was held; it goes on in the background, and by the end of lease and grace the
 * store forgets it in any case. Nothing if FREE; ends an acquire under way; what ends a loss. A loss that is just being
 * told to source, descriptor and callback has been told on the return: nothing of it comes afterwards. One that nobody
 * was told of cancels the source here; descriptor and callback, which are the holder's, hear nothing of it. */
WEIR_API enum weir_error weir_lock_release(struct weir_lock *lock, uint64_t deadline_ns);

/* The state, now: one load and a look at CLOCK_BOOTTIME. Right also when who drives the link has stalled, or the whole
 * process was stopped. In a forked child nothing is held. */
WEIR_API enum weir_lock_state weir_lock_check(struct weir_lock *lock);
/* The same at an instant of CLOCK_BOOTTIME that you have read. */
WEIR_API enum weir_lock_state weir_lock_check_at(struct weir_lock *lock, uint64_t boottime_ns);
/* The next three go by the same clock as weir_lock_check(): once the lease has ended they say that it is not held, whoever
 * else has noticed. The end of the lease, unless it is renewed, as an instant of CLOCK_BOOTTIME; 0: it is not held. */
WEIR_API uint64_t weir_lock_valid_until(struct weir_lock *lock);
/* The same as an instant of CLOCK_MONOTONIC, for contexts: what is under way does not outlast the lease. 0, an instant that
 * has passed: it is not held. */
WEIR_API uint64_t weir_lock_deadline_ns(struct weir_lock *lock);
/* Of the present acquisition; {0, 0}, which no guard admits: it is not held. Who works under an acquisition keeps the
 * fence that it began with: this may be of a later one. */
WEIR_API struct weir_fence weir_lock_fence(struct weir_lock *lock);
/* Readable from a loss to the release; do not read from it. -1 unless config.fd. It lives as long as the lock. */
WEIR_API int weir_lock_fd(const struct weir_lock *lock);
WEIR_API const char *weir_lock_state_text(enum weir_lock_state state);

struct weir_lock_stats {
    enum weir_lock_state state;
    uint64_t acquired, contended; /* contended: answers that another holds it */
    uint64_t renewed, overdue;    /* overdue: times that it became SUSPECT */
    uint64_t lost;
    uint64_t ghosts;        /* ended acquisitions that the store may still hold, now */
    uint64_t ghosts_ended;  /* that were removed, or have run out */
    uint64_t margin_min_ns; /* least that was left of a lease when it was renewed; WEIR_NEVER: none was */
    uint64_t margin[10];    /* renewals by tenths of the lease that were left: [0] is less than one */
    struct weir_share_stats share; /* of the questions */
};
WEIR_API struct weir_lock_stats weir_lock_stats(struct weir_lock *lock);

#ifdef __cplusplus
}
#endif
#endif
