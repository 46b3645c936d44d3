/* The gate's words.
 *
 *     call --> its place, 0 .. 999 999 -- below the share? --yes--> PASS
 *              by call: drawn                   |
 *              by key: of key and salt          '-- no ----> REFUSE (GATE)      gate_admit(), first_*()
 *     weir_gate_set_share(): one store
 *
 * Invariants:
 *   1. a key's place depends on the key and the salt alone, so a growing share only adds keys;
 *   2. no key's place is the share of all: then everybody passes, those without a key as well;
 *   3. nothing is taken: a call that passed is owed nothing that a settle would have to do. */
#ifndef WEIR_LIB_GATE_H
#define WEIR_LIB_GATE_H

#include "policy/handle.h"

#include <weir/gate.h>

#define GATE_ALL 1000000u /* a hundred times WEIR_PERCENT */
_Static_assert(GATE_ALL == 100 * WEIR_PERCENT, "all of a million parts");

struct gate_config {
    uint64_t salt, spread; /* spread: the salt, mixed, so that neighbours choose nothing alike */
    uint32_t by;           /* enum weir_gate_by */
};

struct gate_state {
    uint32_t share;
};

enum {
    GATE_REFUSED = POLICY_COUNTERS,
    GATE_REFUSED_KEYLESS,
};

#endif
