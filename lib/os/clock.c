/* The fast clock: the time stamp counter, anchored to CLOCK_MONOTONIC.
 *
 * now = anchor.ns + (tsc - anchor.tsc) * rate; the anchor is renewed after 2^24 ticks (some 5 ms), so an
 * error of the rate of 500 ppm adds up to 3 us at most, and a thread that slept reads CLOCK_MONOTONIC anew.
 *
 * Invariants:
 *   1. it is used only where the kernel's own clock source is tsc and the processor says invariant;
 *   2. an anchor never puts the clock back: its ns is at least what the old one would have said there;
 *   3. the anchor is read under its sequence number, each field with acquire: a torn one is not used;
 *   4. an anchor that finds the clock TRUST_NS off is counted; three of them in a row end it for good, and it
 *      is CLOCK_MONOTONIC from then on. */
#include "os/os.h"

#include "base/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

uint64_t weir_now(enum weir_timing timing)
{
    return os_now(timing);
}

enum weir_timing weir_timing_auto(void)
{
    return os_has_fast_clock() ? WEIR_TIMING_FAST : WEIR_TIMING_MIXED;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

#define ANCHOR_TICKS_BITS 24
#define CALIBRATION_NS (WEIR_MS / 2)
#define TRUST_NS (20 * WEIR_US)
#define DOUBTS_MAX 3

static struct {
    uint32_t sequence; /* odd: being written */
    uint32_t usable;   /* 0: not looked yet, 1: yes, 2: no */
    uint64_t tsc, ns;
    uint64_t rate;                /* ns per tick, 32.32 */
    uint64_t first_tsc, first_ns; /* the rate is taken over all the time since */
    uint32_t doubts;
} CACHE_ALIGNED anchor;

enum { UNKNOWN, YES, NO };

/* A pair that belongs together: the tsc's reads before and after the clock's are close. */
static uint64_t pair(uint64_t *tsc)
{
    uint64_t best_ns = 0, best_width = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        uint64_t before = __rdtsc(), ns = os_now_precise(), after = __rdtsc();
        if (after - before >= best_width) continue;
        best_width = after - before;
        best_ns = ns;
        *tsc = before + (after - before) / 2;
    }
    return best_ns;
}

static uint64_t extrapolate(uint64_t ns, uint64_t ticks, uint64_t rate)
{
    return ns + (uint64_t)(((unsigned __int128)ticks * rate) >> 32);
}

static void publish(uint32_t sequence, uint64_t tsc, uint64_t ns, uint64_t rate)
{
    atomic_store_release(&anchor.tsc, tsc);
    atomic_store_release(&anchor.ns, ns);
    atomic_store_release(&anchor.rate, rate);
    atomic_store_release(&anchor.sequence, sequence + 2);
}

/* The writer of an odd sequence number is alone with the anchor. */
static COLD uint64_t renew(void)
{
    uint64_t tsc = 0, ns = pair(&tsc);
    uint32_t sequence = atomic_load_acquire(&anchor.sequence);
    if ((sequence & 1) != 0) return ns;
    if (!atomic_cas_acq_rel(&anchor.sequence, &sequence, sequence + 1)) return ns;
    uint64_t said = extrapolate(anchor.ns, tsc - anchor.tsc, anchor.rate);
    uint64_t off = said > ns ? said - ns : ns - said;
    bool doubtful = off > TRUST_NS && tsc - anchor.tsc < UINT64_C(2) << ANCHOR_TICKS_BITS;
    anchor.doubts = doubtful ? anchor.doubts + 1 : 0;
    if (anchor.doubts >= DOUBTS_MAX) atomic_store_relaxed(&anchor.usable, NO);
    uint64_t rate = (uint64_t)(((unsigned __int128)(ns - anchor.first_ns) << 32) / (tsc - anchor.first_tsc));
    bool ahead = said > ns && said - ns <= TRUST_NS;
    publish(sequence, tsc, ahead ? said : ns, rate);
    return ahead ? said : ns;
}

uint64_t os_now_fast(void)
{
    uint32_t sequence = atomic_load_acquire(&anchor.sequence);
    uint64_t tsc = atomic_load_acquire(&anchor.tsc), ns = atomic_load_acquire(&anchor.ns);
    uint64_t rate = atomic_load_acquire(&anchor.rate);
    bool torn = sequence != atomic_load_relaxed(&anchor.sequence);
    if (unlikely(torn) || unlikely((sequence & 1) != 0)) return os_now_precise();
    if (unlikely(atomic_load_relaxed(&anchor.usable) != YES)) {
        if (!os_has_fast_clock()) return os_now_precise();
        return renew();
    }
    uint64_t ticks = __rdtsc() - tsc;
    if (unlikely(ticks >> ANCHOR_TICKS_BITS)) return renew();
    return ns + ((ticks * rate) >> 32); /* 24 + 34 bits */
}

static bool kernel_uses_tsc(void)
{
    int error = errno;
    char name[16] = "";
    int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    bool tsc = false;
    if (file >= 0) {
        tsc = read(file, name, sizeof name - 1) > 0 && strcmp(name, "tsc\n") == 0;
        close(file);
    }
    errno = error;
    return tsc;
}

static bool tsc_is_invariant(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
}

/* The first rate, from half a millisecond; each anchor makes it better. Threads that come meanwhile read
 * the precise clock: the sequence is odd. */
static COLD bool look(void)
{
    uint32_t sequence = atomic_load_acquire(&anchor.sequence);
    if ((sequence & 1) != 0) return false;
    if (!atomic_cas_acq_rel(&anchor.sequence, &sequence, sequence + 1)) return false;
    if (atomic_load_relaxed(&anchor.usable) == UNKNOWN) {
        bool usable = tsc_is_invariant() && kernel_uses_tsc();
        uint64_t tsc = 0, ns = 0;
        if (usable) {
            anchor.first_ns = pair(&anchor.first_tsc);
            while (ns < anchor.first_ns + CALIBRATION_NS) ns = pair(&tsc);
        }
        uint64_t span = usable ? tsc - anchor.first_tsc : 1;
        usable = usable && span > 0 && span >> ANCHOR_TICKS_BITS == 0;
        uint64_t rate = usable ? ((ns - anchor.first_ns) << 32) / span : 0;
        atomic_store_relaxed(&anchor.usable, usable ? YES : NO);
        publish(sequence, tsc, ns, rate);
    } else {
        atomic_store_release(&anchor.sequence, sequence + 2);
    }
    return atomic_load_relaxed(&anchor.usable) == YES;
}

bool os_has_fast_clock(void)
{
    uint32_t usable = atomic_load_relaxed(&anchor.usable);
    return usable == UNKNOWN ? look() : usable == YES;
}
#else
uint64_t os_now_fast(void)
{
    return os_now_precise();
}

bool os_has_fast_clock(void)
{
    return false;
}
#endif
