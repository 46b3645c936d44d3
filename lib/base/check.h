/* Checks: what may not be false, and what a user may not do. Both abort, in every build. */
#ifndef WEIR_LIB_CHECK_H
#define WEIR_LIB_CHECK_H

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define CACHE_LINE 64
#define CACHE_ALIGNED __attribute__((aligned(CACHE_LINE)))

/* An invariant of weir's own: one predictable branch, on in release. */
#define WEIR_ASSERT(x)                                                  \
    do {                                                                \
        if (unlikely(!(x))) weir_assert_failed(#x, __FILE__, __LINE__); \
    } while (0)

/* A rule of use: the message names the public function and what was wrong. */
#define WEIR_REQUIRE(x, function, text)                  \
    do {                                                 \
        if (unlikely(!(x))) weir_misuse(function, text); \
    } while (0)

__attribute__((noreturn, cold)) void weir_assert_failed(const char *expression, const char *file, int line);
__attribute__((noreturn, cold)) void weir_misuse(const char *function, const char *text);

#endif
