/* Locks on real links. */
#ifndef WEIR_REDIS_LOCK_WORDS_H
#define WEIR_REDIS_LOCK_WORDS_H

#include "redis/carrier.h"

#include <weir/lock.h>

#define LEASE_NS (300 * WEIR_MS)

static inline uint64_t now_ns(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

static inline uint64_t soon(void)
{
    return now_ns() + 10 * WEIR_S;
}

static inline struct weir_lock *lock_on(struct weir_link *link, const char *name, uint64_t lease_ns)
{
    struct weir_lock *lock;
    struct weir_lock_config config = weir_lock_config_init();
    config.link = link;
    config.name = name;
    config.lease_ns = lease_ns;
    config.poll_min_ns = WEIR_MS;
    config.poll_max_ns = 5 * WEIR_MS;
    if (weir_lock_create(&config, &lock) != WEIR_E_NONE)
        check_failed(__FILE__, __LINE__, "%s", weir_error_text());
    return lock;
}

#endif
