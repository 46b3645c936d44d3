/* Headers given as strings, and what the process has counted since. */
#ifndef WEIR_TEST_WIRE_WORDS_H
#define WEIR_TEST_WIRE_WORDS_H

#include "support/test.h"

#include <weir/wire.h>

#include <string.h>

#define START (1000 * WEIR_S)
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN "-01"

#define TEXT(literal) ((struct weir_wire_text) { (literal), sizeof(literal) - 1 })

static inline enum weir_wire_refusal give(struct weir_wire *wire, const char *name, const char *value)
{
    return weir_wire_header(wire, name, strlen(name), value, strlen(value));
}

static inline struct weir_wire fresh(void)
{
    struct weir_wire wire;
    weir_wire_init(&wire, NULL);
    return wire;
}

/* A header alone is refused for that reason, which is counted once, and nothing else is. */
static inline void check_refused(
    const char *name, const char *value, size_t size, enum weir_wire_refusal refusal)
{
    struct weir_wire wire = fresh();
    struct weir_wire_stats before = weir_wire_stats();
    enum weir_wire_refusal said = weir_wire_header(&wire, name, strlen(name), value, size);
    if (said != refusal) {
        check_failed(__FILE__, __LINE__, "%s: %.*s: %s, not %s", name, (int)size, value,
            weir_wire_refusal_text(said), weir_wire_refusal_text(refusal));
    }
    struct weir_wire_stats after = weir_wire_stats();
    for (uint32_t i = 0; i < WEIR_WIRE_REFUSALS; i++) {
        uint64_t more = i == (uint32_t)refusal && refusal != WEIR_WIRE_REFUSED_NONE;
        CHECK_EQ(after.refused[i], before.refused[i] + more);
    }
    if (refusal == WEIR_WIRE_REFUSED_NONE) return;
    const struct weir_trace none = { .flags = 0 };
    CHECK_EQ(weir_wire_deadline(&wire, START), WEIR_NEVER);
    CHECK(memcmp(&wire.trace, &none, sizeof none) == 0);
}

static inline void check_taken(const char *name, const char *value)
{
    check_refused(name, value, strlen(value), WEIR_WIRE_REFUSED_NONE);
}

/* A fixed sequence, another for each seed. */
static inline uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t mixed = *state ^ *state >> 33;
    mixed *= UINT64_C(0xff51afd7ed558ccd);
    return mixed ^ mixed >> 29;
}

#endif
