/* Gate: a share of the calls passes, the others are refused (REJECTED, reason GATE). For a new path that is to be
 * walked by few at first: put the gate in front of it and a fallback with the old path around both.
 *
 * By key, who passes is fixed: the same key gets the same answer on every thread, process and machine that uses the
 * same salt, and a growing share only adds keys. By call, each call is drawn anew. A call that passes reads two
 * words and writes none that another thread reads. */
#ifndef WEIR_GATE_H
#define WEIR_GATE_H

#include <weir/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A share is in parts of a million: 5 * WEIR_PERCENT, or 100 for 0.01 %. */
#define WEIR_PERCENT 10000u

enum weir_gate_by {
    WEIR_GATE_BY_CALL = 0, /* drawn from the call's random sequence: its seed repeats it */
    WEIR_GATE_BY_KEY, /* of the call's key and the salt. A call without a key passes only while all do: so it
                         does not come in by chance, and stays in once it is */
};

struct weir_gate_config {
    uint32_t size;
    const char *name;     /* copied; default: "gate" */
    uint32_t share;       /* that passes, 1..1000000; WEIR_OFF32: none; default: all */
    enum weir_gate_by by; /* default: CALL */
    /* by key: gates with the same salt let the same keys in first; default: made of the name */
    uint64_t salt;
};
WEIR_CONFIG_INIT(weir_gate_config)

/* config may be NULL. INVALID, SIZE, NOMEM. */
WEIR_API WEIR_MUST_USE enum weir_error weir_gate_create(
    const struct weir_gate_config *config, struct weir_policy **gate);

/* For calls that come from now on. 0..1000000, where 0 and WEIR_OFF32 mean none; else INVALID, and nothing changes. */
WEIR_API WEIR_MUST_USE enum weir_error weir_gate_set_share(struct weir_policy *gate, uint32_t share);

struct weir_gate_stats {
    uint32_t share; /* 0: none */
    enum weir_gate_by by;
    uint64_t salt; /* by key: as given, or what was made of the name */
    /* By the share; in shadow and forced closed, too, where they pass all the same. Who passed is not counted: else it
     * is who came less who was refused. */
    uint64_t refused;
    uint64_t refused_keyless; /* by key, but their calls bore none */
    uint64_t refused_forced, would_refuse;
};
WEIR_API struct weir_gate_stats weir_gate_stats(const struct weir_policy *gate);

#ifdef __cplusplus
}
#endif
#endif
