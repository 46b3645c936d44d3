/* Between what is shared and what carries it: for transports (weir-redis is one, the tests have others), not for
 * applications.
 *
 * A *link* holds what this process shares with its fleet: policies (share.h) and locks (lock.h). It does no I/O: it says
 * what to ask, is told the answers and the time, and writes what they mean into the policies' words. A *carrier* does the
 * I/O, on one thread or in one loop:
 *
 *     weir_link_step(link, now)            answers when it wants to be stepped again
 *     weir_link_pull(link, node, lane)     the next question, for as long as it has one: write it
 *     weir_link_answer(link, ticket, ...)  for each question pulled, exactly once, in any order
 *     weir_link_report(link, node, lane)   whenever a lane comes up, is slow, or goes down
 *
 * A *node* is one server; several are independent masters, for locks by majority. A *lane* is a way to it on which
 * questions keep their order: what a lock asks never waits behind the rest. A question is numbers and an identity; each
 * kind's numbers are written beside it, and a store must do one question atomically. There is no queue: a lane that is
 * not up is not asked, and whoever shares knows it. */
#ifndef WEIR_TRANSPORT_H
#define WEIR_TRANSPORT_H

#include <weir/share.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The same moment by both clocks: leases of policies end by CLOCK_MONOTONIC, which callers of weir pass around; locks by
 * CLOCK_BOOTTIME, which does not stop in a suspended machine. When the two grow apart, leases are void. */
struct weir_instants {
    uint64_t monotonic_ns, boottime_ns;
};

enum weir_lane { WEIR_LANE_LOCK, WEIR_LANE_BULK, WEIR_LANES };

enum weir_lane_state {
    WEIR_LANE_DOWN, /* not asked */
    WEIR_LANE_SLOW, /* asked; a question has waited for longer than it should */
    WEIR_LANE_UP,
};

#define WEIR_NODES_MAX 7
#define WEIR_NUMBERS_MAX 32

/* Times of a store are its own clock's. "presence" is for how long, in ms, an instance that asked counts as active; the
 * questions of a shared policy carry an id of its own, made of the link's instance: two of one name are two instances.
 * In all keys' names stand the link's space and the object's name. A question that comes with a `sequence` not above
 * the last one of that id is old: it changes nothing, and its first answer is -1.
 *
 * RATE      the bucket of a rate limit: GCRA in units of 1/16 us since 2026-01-01 00:00 UTC, by the store's clock.
 *    asks   sequence, permits, period (us), burst, want, unspent, returned, debit, hold_max, lease (ms), watermark,
 *           presence (ms)
 *           first `returned` tokens go back and `debit` ones are taken (as far as there are); watermark: above 0 the
 *           arrival time is at least that; below 0 it is at least -watermark if nothing is known of the instance.
 *           burst: of the bucket itself, without hold_max. hold_max, if not 0: all unspent tokens of all instances
 *           together stay within. unspent: what this instance holds yet, without the returned.
 *    answer granted, arrival time (units), now (units), active instances, us until a token is there (0: now), unspent of all
 * BREAKER   what the window of this instance holds, absolute; and whose turn it is to probe. Each change of the fleet's
 *           state is a new epoch; what comes of another epoch says nothing.
 *    asks   sequence, epoch, state (0 closed, 1 open, 2 half open), ms that are left of it, level (as last known), good,
 *           bad, slow, vote (1: its own window or its own breaker says ill), want (1: a call of its own was refused as it
 *           was not its turn), won (probes of its turns in this epoch), lost (1: one failed), holds (1: it uses its turn
 *           yet), calls_min, failure percent, z (tenths; 0 off), plain percent (0 off), slow percent (0 off), quorum
 *           percent, open (ms), open_max (ms), ramp (ms), probes, successes, turn (ms), presence (ms; 0: it leaves)
 *           An epoch above the store's is taken over with its state and level: the store's was lost.
 *    answer epoch, state, ms that are left (open; of the turn, half open), probes (that this instance may have let in in
 *           this epoch; 0: it is not its turn), active instances, those that vote, calls, failed calls, level
 * BULKHEAD  permits, by absolute count.
 *    asks   sequence, limit, in_use, want, lease (ms)
 *           nothing that was granted and is wanted yet is taken away; what is in use beyond it counts, too, but for
 *           nobody. An instance is active until its lease ends; a lease of 0 gives all back.
 *    answer granted (of all it now holds), fair share, other instances that have less than theirs and want it, active
 *           instances, granted to all and in use beyond
 * LOCK      takes a lock for its id, or finds that it has it; with a fence token above every one before.
 *    asks   ttl (ms), floor (a token), fence ttl (ms)
 *    answer 1, token; or 0, ms that are left to its holder, the greatest token so far
 * RENEW     asks   ttl (ms)                    answer 1; or 0: it is not its id's
 * UNLOCK    asks   -                           answer 1; or 0
 * FENCE     asks   token, fence ttl (ms)       answer the greater of it and the store's, which is now that */
enum weir_ask_kind {
    WEIR_ASK_RATE,
    WEIR_ASK_BREAKER,
    WEIR_ASK_BULKHEAD,
    WEIR_ASK_LOCK,
    WEIR_ASK_RENEW,
    WEIR_ASK_UNLOCK,
    WEIR_ASK_FENCE,
    WEIR_ASKS
};

struct weir_ask {
    void *ticket;     /* to be handed back with the answer */
    const char *name; /* the object's, not escaped, at most WEIR_NAME_MAX bytes; borrowed until the answer */
    uint64_t id[2];
    uint64_t deadline_ns; /* of CLOCK_MONOTONIC: answered by then, or given up and UNKNOWN */
    uint8_t kind;         /* enum weir_ask_kind */
    uint8_t count;
    int64_t number[WEIR_NUMBERS_MAX]; /* each below 2^53 in magnitude */
};

enum weir_answer_kind {
    WEIR_ANSWER_DONE,    /* number[] */
    WEIR_ANSWER_NOT_RUN, /* the store refused it, and has done nothing */
    WEIR_ANSWER_ERROR,   /* an error of the store: what it has done is not known, it will do no more */
    WEIR_ANSWER_UNKNOWN, /* none came: it may have been done, or may yet be */
};

struct weir_answer {
    uint8_t kind; /* enum weir_answer_kind */
    uint8_t count;
    int64_t number[WEIR_NUMBERS_MAX];
};

struct weir_carrier {
    uint32_t size;
    uint32_t nodes; /* 1, or an odd number of independent masters up to WEIR_NODES_MAX */
    /* Somebody wants weir_link_step() at once. From any thread, often; it only posts. */
    void (*ring)(void *argument);
    /* Does the I/O itself for a thread that waits, until something was answered or the instant (of CLOCK_MONOTONIC) has
     * come. NULL: the carrier has a thread of its own. */
    void (*wait)(void *argument, uint64_t until_ns);
    /* The last reference is gone, on the thread that dropped it. May be NULL. */
    void (*released)(void *argument);
    void *argument;
};
WEIR_CONFIG_INIT(weir_carrier)

struct weir_link_config {
    uint32_t size;
    const char *space;    /* copied; default: "default". Objects of one name and space are one object */
    uint64_t instance[2]; /* who this process is, unlike all others; both 0: INVALID */
    const struct weir_carrier *carrier; /* copied */
    /* What changed; see share.h. Default: nobody is told. */
    const struct weir_share_sink *sink; /* copied */
};
WEIR_CONFIG_INIT(weir_link_config)

/* INVALID, SIZE, NOMEM. Yours to release. */
WEIR_API WEIR_MUST_USE enum weir_error weir_link_create(
    const struct weir_link_config *config, struct weir_link **link);

/* The carrier's calls: one thread at a time, never from `ring`. They take no lock for longer than a few hundred
 * instructions an object. */
WEIR_API uint64_t weir_link_step(struct weir_link *link, struct weir_instants now);
WEIR_API bool weir_link_pull(struct weir_link *link, uint32_t node, enum weir_lane lane,
    struct weir_instants now, struct weir_ask *ask);
WEIR_API void weir_link_answer(
    struct weir_link *link, void *ticket, const struct weir_answer *answer, struct weir_instants now);
/* server: a number that another server, or another life of the same one, does not have; 0 while DOWN. Everything pulled
 * from a lane must be answered before it is reported DOWN. */
WEIR_API void weir_link_report(struct weir_link *link, uint32_t node, enum weir_lane lane,
    enum weir_lane_state state, uint64_t server, struct weir_instants now);
/* The carrier stops for good, after all is answered: everything is DETACHED, nothing is asked any more. */
WEIR_API void weir_link_close(struct weir_link *link, struct weir_instants now);
/* Whether any object asks on that lane: one that none asks on need not be connected. */
WEIR_API bool weir_link_wants(struct weir_link *link, enum weir_lane lane);
/* Whether what is to be given back to the store before a close has been. */
WEIR_API bool weir_link_is_flushed(struct weir_link *link);
/* Asks every object to give back what it holds, leases and permits, before a close. Not locks: what is done under one may not
 * be over. */
WEIR_API void weir_link_flush(struct weir_link *link, struct weir_instants now);

WEIR_API const char *weir_link_space(const struct weir_link *link);
WEIR_API void weir_link_instance(const struct weir_link *link, uint64_t instance[2]);
/* For what a carrier's own create refuses: sets this thread's weir_error_text(), cut to 255 bytes; answers error. */
WEIR_API __attribute__((format(printf, 2, 3))) enum weir_error weir_carrier_error(
    enum weir_error error, const char *format, ...);
/* The carrier's argument, for what its library offers on a link. NULL: of another carrier (told by its ring). */
WEIR_API void *weir_link_carrier(const struct weir_link *link, void (*ring)(void *argument));

#ifdef __cplusplus
}
#endif
#endif
