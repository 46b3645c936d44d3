/* A guard's two words, each changed by compare-and-swap:
 *
 *     token { greatest token:53 | its generation:11 }       owner { nonce:53 | generation:11 }
 *
 *     admit, greater token:   token -> { it, generation + 1 }, then as an equal one
 *     admit, equal token:     owner of another generation: owner -> { nonce, generation }; of this one: compare
 *
 * Invariants:
 *   1. the token only grows, and each time its generation is the next;
 *   2. the owner of a generation is set once: it is read before a second look at the token, so it is of no later one,
 *      and whoever is late finds it changed, or has written over a word that nobody owned;
 *   3. between the two steps nobody owns the token: who comes then with the same one owns it. Nobody waits.
 * A generation comes back after 2^11 tokens; the owner's word does not, as a nonce is of one acquisition and that has one
 * token. To be taken for a stale one, a generation must be that of the last of 2^11 tokens that were put up in a row by
 * threads that died before their second step. */
#include <weir/fence.h>

#include "base/atomic.h"
#include "base/check.h"

#define GENERATION_BITS 11
#define GENERATION_MASK ((UINT64_C(1) << GENERATION_BITS) - 1)
#define NUMBER_END (UINT64_C(1) << 53)

/* Whether the fence's token is the guard's: put up, if it is greater. *word is then the guard's. */
static bool put_up(struct weir_fence_guard *guard, uint64_t token, uint64_t *word)
{
    *word = atomic_load_seq_cst(&guard->token);
    while (*word >> GENERATION_BITS < token) {
        uint64_t want = token << GENERATION_BITS | ((*word + 1) & GENERATION_MASK);
        if (atomic_cas_seq_cst(&guard->token, word, want)) *word = want;
    }
    return *word >> GENERATION_BITS == token;
}

bool weir_fence_admit(struct weir_fence_guard *guard, struct weir_fence fence)
{
    WEIR_REQUIRE(guard != NULL, "weir_fence_admit", "guard is NULL");
    if (fence.token == 0 || fence.token >= NUMBER_END || fence.nonce >= NUMBER_END) return false;
    for (uint64_t word; put_up(guard, fence.token, &word);) {
        uint64_t mine = fence.nonce << GENERATION_BITS | (word & GENERATION_MASK);
        uint64_t owner = atomic_load_seq_cst(&guard->owner);
        if (atomic_load_seq_cst(&guard->token) != word) continue; /* the owner may be a later token's */
        if (((owner ^ word) & GENERATION_MASK) == 0) return owner == mine;
        if (atomic_cas_seq_cst(&guard->owner, &owner, mine)) return true;
    }
    return false;
}

uint64_t weir_fence_seen(const struct weir_fence_guard *guard)
{
    WEIR_REQUIRE(guard != NULL, "weir_fence_seen", "guard is NULL");
    return atomic_load_seq_cst(&guard->token) >> GENERATION_BITS;
}
