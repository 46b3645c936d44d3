/* The grammars of the headers, each as one function over a text without blanks at its ends, and what counts them. */
#ifndef WEIR_LIB_WIRE_H
#define WEIR_LIB_WIRE_H

#include "base/counters.h"

#include <weir/wire.h>

/* timeout.c: true if the text is such a value, of no more bytes than inbound.c lets pass. *left_ns saturates; WEIR_NEVER: it says that there is no limit. */
bool wire_grpc_timeout(struct weir_wire_text text, uint64_t *left_ns);
bool wire_envoy_timeout(struct weir_wire_text text, uint64_t *left_ns);

/* traceparent.c: true if the text is one; trace_id, span_id and flags of *trace are then set. */
bool wire_traceparent(struct weir_wire_text text, struct weir_trace *trace);
bool wire_is_traced(const struct weir_trace *trace);

/* lists.c: whether the text may be the next part of a list; it is then counted in *list. text is not empty. */
enum wire_list_kind { LIST_TRACESTATE, LIST_BAGGAGE };
enum weir_wire_refusal wire_list_add(
    enum wire_list_kind kind, struct weir_wire_list *list, struct weir_wire_text text);

static inline bool wire_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline struct weir_wire_text wire_trim(struct weir_wire_text text)
{
    while (text.size != 0 && wire_is_blank(text.text[0])) text.text++, text.size--;
    while (text.size != 0 && wire_is_blank(text.text[text.size - 1])) text.size--;
    return text;
}

/* Cuts the text at the first `separator`: answers what stood before it, *rest is what follows. Without one all of it
 * is answered and rest->text is NULL. */
static inline struct weir_wire_text wire_cut(char separator, struct weir_wire_text *rest)
{
    struct weir_wire_text whole = *rest;
    const char *at =
        whole.size == 0 ? NULL : (const char *)__builtin_memchr(whole.text, separator, whole.size);
    if (at == NULL) {
        *rest = (struct weir_wire_text) { NULL, 0 };
        return whole;
    }
    size_t before = (size_t)(at - whole.text);
    *rest = (struct weir_wire_text) { at + 1, whole.size - before - 1 };
    return (struct weir_wire_text) { whole.text, before };
}

/* What no part of a value may have: CR, LF, NUL and their like, but the tab, which is a blank. */
static inline bool wire_has_control(struct weir_wire_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.text[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return true;
    }
    return false;
}

/* The first counters are the refusals, by enum weir_wire_refusal. */
enum { WIRE_UNSENT = WEIR_WIRE_REFUSALS, WIRE_SPANS };
extern struct counters weir_wire_counters;

/* Answers how many this line had before. */
static inline uint64_t wire_count(uint32_t which)
{
    uint32_t line = thread_shard();
    return line_add(&weir_wire_counters.line[line].n[which], 1, line < SHARDS);
}

#endif
