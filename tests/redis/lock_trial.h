/* A trial of locks: processes that take turns with a few of them and write to what they protect, while the servers, the
 * network, the clocks and the processes themselves are done harm, by a seed. A writer does not always look whether it still
 * holds; what it writes to looks at the fence.
 *
 *     one       a server with a replica: fail-over that loses writes, restarts, floods, lost keys
 *     majority  three masters: one at a time is harmed
 *
 * Whether a write that was admitted was stale is judged by another rule than the guard's: its token is never below one that
 * was admitted before. How many would have been admitted without a guard shows that there was something to refuse. */
#ifndef WEIR_TESTS_LOCK_TRIAL_H
#define WEIR_TESTS_LOCK_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

enum trial_harm {
    TRIAL_FREEZE,    /* a server, for up to two leases */
    TRIAL_RESTART,   /* a server, empty */
    TRIAL_FLUSH,     /* all keys */
    TRIAL_DELETE,    /* the key of a lock */
    TRIAL_CLOCK,     /* a server's clock, by up to an hour, to and fro */
    TRIAL_FAIL_OVER, /* to a replica that has not got the last writes */
    TRIAL_RESET,     /* all connections */
    TRIAL_STOP,      /* a process, for up to two leases */
    TRIAL_KILL,      /* a process, for ever: another takes its place */
    TRIAL_HARMS
};
extern const char *const trial_harm_names[TRIAL_HARMS];

struct trial_result {
    uint64_t acquired, holders; /* hand-overs: acquisitions by another than the last */
    uint64_t writes, refused;   /* admitted; refused by the guard */
    uint64_t stale;             /* admitted, and should not have been */
    uint64_t unguarded;         /* would have been stale writes without a guard */
    uint64_t harms[TRIAL_HARMS];
};

/* Until so many acquisitions, at most for limit_ms. Ends the program if a part of it cannot be had. */
struct trial_result trial_run(bool majority, uint64_t acquisitions, uint64_t seed, int limit_ms);

#endif
