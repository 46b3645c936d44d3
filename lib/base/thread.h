/* What weir knows of a thread and of its process.
 *
 * A thread has a small id, its *shard*: with one of its own (solo) it is the only writer of its line in
 * every sharded block and adds by a plain load and store; threads beyond SHARDS share one further line
 * and add atomically. The id goes back when the thread ends; its successor sees the counts, not zeroes.
 *
 * A process has a *generation*: it is in every call and permit, so that a forked child does not settle
 * what its parent took. The word lies in a page that the kernel wipes on fork; 0 is therefore "just
 * forked", and the first to see it takes a new number and runs the hooks.
 *
 * The thread's words are in the initial-exec TLS model: 40 bytes, well within what glibc keeps for
 * libraries loaded late, and one instruction to reach. */
#ifndef WEIR_LIB_THREAD_H
#define WEIR_LIB_THREAD_H

#include "base/atomic.h"
#include "base/check.h"

#include <weir/call.h>

#define SHARDS 16          /* threads with a line of their own */
#define LINES (SHARDS + 1) /* and one for all others */

struct weir_thread {
    uint32_t shard; /* id + 1; 0: none yet */
    const struct weir_context *context;
    uint32_t renewing;      /* it runs the hooks after a fork: they see no generation */
    struct weir_call *call; /* innermost call of weir_run() on this thread that others may nest in */
    uint64_t draws;         /* random sequences of calls that it has begun */
};
extern __thread struct weir_thread weir_thread __attribute__((tls_model("initial-exec")));

uint32_t thread_assign_shard(void);

static inline uint32_t thread_shard(void)
{
    uint32_t shard = weir_thread.shard;
    if (unlikely(shard == 0)) shard = thread_assign_shard();
    return shard - 1;
}

/* A bit for each solo shard that was ever given out: readers sum these lines and the shared one. */
extern uint32_t weir_shards_ever;

/* Calls body for each line in use: for_each_line(line) { ... } */
#define for_each_line(line)                                                                       \
    for (uint32_t bits_ = atomic_load_acquire(&weir_shards_ever) | (UINT32_C(1) << SHARDS), line; \
         bits_ != 0 && (line = (uint32_t)__builtin_ctz(bits_), true); bits_ &= bits_ - 1)

/* Answers what it was before. */
static inline uint64_t line_add(uint64_t *word, uint64_t n, bool solo)
{
    if (unlikely(!solo)) return atomic_add_relaxed(word, n);
    uint64_t before = atomic_load_relaxed(word);
    atomic_store_relaxed(word, before + n);
    return before;
}

/* The same as a release: whoever has seen the sum (with acquire) may take for granted what came before it. */
static inline void line_add_release(uint64_t *word, uint64_t n, bool solo)
{
    if (likely(solo)) atomic_store_release(word, atomic_load_relaxed(word) + n);
    else atomic_add_seq_cst(word, n);
}

extern uint32_t *weir_process_word; /* points into the wiped page, if the system gave one */
#define PROCESS_RENEWING UINT32_MAX
uint32_t process_renew(void);

static inline uint32_t process_generation(void)
{
    uint32_t generation = atomic_load_relaxed(weir_process_word);
    if (unlikely(generation + 1 <= 1)) generation = process_renew(); /* 0, or PROCESS_RENEWING */
    return generation;
}

/* Whether no fork is to be looked after. */
static inline bool process_is_settled(void)
{
    return likely(atomic_load_relaxed(weir_process_word) + 1 > 1);
}

/* Whether this is the process of that generation, which is never 0 or PROCESS_RENEWING. */
static inline bool process_is(uint32_t generation)
{
    return likely(atomic_load_relaxed(weir_process_word) == generation);
}

/* Run in a child once, before its first call goes on. One hook: the policies' registry. */
extern void (*weir_process_forked)(void);

#endif
