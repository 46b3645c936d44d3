/* Fences: what keeps a holder out that does not know yet that its lock is gone.
 *
 * A lock from a store is a lease. Its holder may be stopped, by the kernel or a garbage collector or the network, between its
 * last look at the lock and its write; only who takes the write can tell. So each acquisition has a *token*, greater than
 * all before it for that name, and what the lock protects refuses a smaller one than it has seen:
 *
 *     bool write(struct file *file, struct weir_fence fence, ...)      under the lock that orders writes to the file
 *     {
 *         if (!weir_fence_admit(&file->guard, fence)) return false;    an older holder
 *         ...
 *
 * A resource that is not in this process keeps the two numbers beside what it protects; docs/locks.md has the SQL. */
#ifndef WEIR_FENCE_H
#define WEIR_FENCE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both below 2^53, so that they fit whatever has a BIGINT or a double. */
struct weir_fence {
    uint64_t token; /* 0: none */
    uint64_t
        nonce; /* the acquisition's own: tells two apart that got one token from a store that lost its memory */
};

/* Zeroed is fresh; it may lie in memory that processes share. Private fields. */
struct weir_fence_guard {
    uint64_t token, owner;
};

/* Whether no greater token has been admitted, and not this one with another nonce. Lock-free. An admission says how
 * it was at some instant of the call: only when it and the write are under one lock does no older write come after a
 * newer one. A fence with no token, or with a number of 2^53 or more, is not admitted. */
WEIR_API bool weir_fence_admit(struct weir_fence_guard *guard, struct weir_fence fence);
/* The greatest token that was admitted; 0: none. */
WEIR_API uint64_t weir_fence_seen(const struct weir_fence_guard *guard);

#ifdef __cplusplus
}
#endif
#endif
