/* A policy that is shared: what all kinds have in common, and the kinds. */
#ifndef WEIR_LIB_SHARE_H
#define WEIR_LIB_SHARE_H

#include "policy/handle.h"
#include "shared/link.h"

/* The first member of a kind's own. `policy` is its user; NULL after it left. */
struct share {
    struct shared shared;
    struct weir_policy *policy;
    struct weir_share_config config; /* with its defaults filled in; name and link are not to be used */
};

/* A kind: checks and fills in what is its own of the config, and makes its object, zeroed but for that. Its ops step it
 * for the first time soon after it is enrolled. */
struct share_kind {
    const struct shared_ops *ops;
    size_t size;
    enum weir_error (*validate)(const struct weir_policy *policy, struct weir_share_config *config);
    void (*prepare)(struct share *share); /* before it is enrolled, under no lock; if it is
                                              not, its leave hook undoes that. May be NULL */
};
extern const struct share_kind share_rate, share_breaker, share_bulkhead;

/* .away has been chosen. */
enum weir_error share_check_away(const struct weir_share_config *config);

#endif
