/* Sentences about a pipeline, put together piece by piece into a bounded buffer. */
#ifndef WEIR_LIB_PROSE_H
#define WEIR_LIB_PROSE_H

#include "policy/duration.h"
#include "policy/handle.h"

/* Cut at size, always terminated; length is that of the whole text, as snprintf() counts. */
struct prose {
    char *buffer;
    size_t size, length;
};
__attribute__((format(printf, 2, 3))) void prose_say(struct prose *prose, const char *format, ...);

/* breaker "bank": the kind and the escaped name. The short form cuts a long name and shows that it did, so
 * that a sentence with two of them fits into a finding. */
struct policy_text {
    char text[WEIR_NAME_MAX * 4 + 48];
};
struct policy_text policy_text(const struct weir_policy *policy);
struct policy_text policy_short(const struct weir_policy *policy);

/* What its describe hook says, escaped; "" without one. */
struct describe_text {
    char text[256];
};
struct describe_text policy_described(const struct weir_policy *policy, uint64_t now_ns);

/* Two digits that matter, for what was measured: "2.1 s", "37 ms". */
struct duration_text duration_rough(uint64_t ns);

#endif
