/* Time arithmetic that saturates instead of wrapping, and a random sequence from a seed. */
#ifndef WEIR_LIB_ARITHMETIC_H
#define WEIR_LIB_ARITHMETIC_H

#include <stdint.h>

/* Instants: WEIR_NEVER (all ones) stays never. */
static inline uint64_t time_add(uint64_t a, uint64_t b)
{
    uint64_t sum = a + b;
    return sum < a ? UINT64_MAX : sum;
}

/* How far b lies before a; 0 if it does not: clocks of two threads may arrive out of order. */
static inline uint64_t time_since(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static inline uint64_t time_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t time_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t multiply_saturating(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* n / divisor, 2 or more, without a division: multiply and shift. Off by one near a multiple, which is harmless for
 * what it is used for: choosing a bucket by time, the same way for every reader and writer. */
struct reciprocal {
    uint64_t multiplier;
    uint32_t shift;
};

static inline struct reciprocal reciprocal_of(uint64_t divisor)
{
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(divisor);
    uint64_t rest = divisor & (divisor - 1); /* 0: a power of two, whose own multiplier would not fit */
    if (rest == 0 && shift != 0) return (struct reciprocal) { UINT64_C(1) << 63, shift - 1 };
    unsigned __int128 numerator = ((unsigned __int128)1 << 64) << shift;
    return (struct reciprocal) { (uint64_t)(numerator / divisor) + 1, shift };
}

static inline uint64_t reciprocal_divide(uint64_t n, struct reciprocal r)
{
    return (uint64_t)(((unsigned __int128)n * r.multiplier) >> 64) >> r.shift;
}

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static inline uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix64(*state);
}

/* Uniform in [0, bound]; by multiplication (Lemire), whose bias is below 2^-32 for what weir draws. */
static inline uint64_t random_up_to(uint64_t *state, uint64_t bound)
{
    if (bound == UINT64_MAX) return random_next(state);
    return (uint64_t)(((unsigned __int128)random_next(state) * (bound + 1)) >> 64);
}

#endif
