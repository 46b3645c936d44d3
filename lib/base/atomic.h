/* Atomic words: compiler builtins on plain integers and pointers, the order in the name.
 *
 * weir's lock-free words use nothing else: ThreadSanitizer understands these, but neither ck_pr nor a
 * standalone fence. The interleaving explorer compiles the same sources with WEIR_EXPLORE and gets
 * control before each access. */
#ifndef WEIR_LIB_ATOMIC_H
#define WEIR_LIB_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#ifdef WEIR_EXPLORE
void weir_explore_point(const volatile void *word);
#define ATOMIC_POINT(word) weir_explore_point(word)
#else
#define ATOMIC_POINT(word) ((void)0)
#endif

#define atomic_load_relaxed(word) (ATOMIC_POINT(word), __atomic_load_n((word), __ATOMIC_RELAXED))
#define atomic_load_acquire(word) (ATOMIC_POINT(word), __atomic_load_n((word), __ATOMIC_ACQUIRE))
#define atomic_load_seq_cst(word) (ATOMIC_POINT(word), __atomic_load_n((word), __ATOMIC_SEQ_CST))

#define atomic_store_relaxed(word, value) \
    (ATOMIC_POINT(word), __atomic_store_n((word), (value), __ATOMIC_RELAXED))
#define atomic_store_release(word, value) \
    (ATOMIC_POINT(word), __atomic_store_n((word), (value), __ATOMIC_RELEASE))

/* These answer the value from before. */
#define atomic_add_relaxed(word, value) \
    (ATOMIC_POINT(word), __atomic_fetch_add((word), (value), __ATOMIC_RELAXED))
#define atomic_add_seq_cst(word, value) \
    (ATOMIC_POINT(word), __atomic_fetch_add((word), (value), __ATOMIC_SEQ_CST))
#define atomic_sub_seq_cst(word, value) \
    (ATOMIC_POINT(word), __atomic_fetch_sub((word), (value), __ATOMIC_SEQ_CST))
#define atomic_or_acq_rel(word, value) \
    (ATOMIC_POINT(word), __atomic_fetch_or((word), (value), __ATOMIC_ACQ_REL))
#define atomic_and_release(word, value) \
    (ATOMIC_POINT(word), __atomic_fetch_and((word), (value), __ATOMIC_RELEASE))
#define atomic_swap_acq_rel(word, value) \
    (ATOMIC_POINT(word), __atomic_exchange_n((word), (value), __ATOMIC_ACQ_REL))
#define atomic_swap_seq_cst(word, value) \
    (ATOMIC_POINT(word), __atomic_exchange_n((word), (value), __ATOMIC_SEQ_CST))

/* True if *word was *seen and is now want; else *seen is what it was. Strong: fails only for a reason. */
#define atomic_cas_relaxed(word, seen, want) \
    (ATOMIC_POINT(word),                     \
        __atomic_compare_exchange_n((word), (seen), (want), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#define atomic_cas_acq_rel(word, seen, want) \
    (ATOMIC_POINT(word),                     \
        __atomic_compare_exchange_n((word), (seen), (want), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define atomic_cas_seq_cst(word, seen, want) \
    (ATOMIC_POINT(word),                     \
        __atomic_compare_exchange_n((word), (seen), (want), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))

#endif
