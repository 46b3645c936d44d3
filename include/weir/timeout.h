/* Timeout: lowers the deadline of what is inside it. Outside a retry it bounds the whole call, inside it
 * each attempt. The operation must honour attempt->deadline_ns: weir cannot stop a function that runs. */
#ifndef WEIR_TIMEOUT_H
#define WEIR_TIMEOUT_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_timeout_config {
    uint32_t size;
    const char *name;    /* copied; default: "timeout" */
    uint64_t timeout_ns; /* 1 us .. 1 day; default: 1 s */
};
WEIR_CONFIG_INIT(weir_timeout_config)

/* config may be NULL. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_timeout_create(
    const struct weir_timeout_config *config, struct weir_policy **timeout);

struct weir_timeout_stats {
    uint64_t timeout_ns;
    uint64_t expired; /* attempts or calls that it cut off */
    uint64_t late;    /* of these, that still answered OK */
};
WEIR_API struct weir_timeout_stats weir_timeout_stats(const struct weir_policy *timeout);

#ifdef __cplusplus
}
#endif
#endif
