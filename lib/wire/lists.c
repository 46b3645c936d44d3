/* tracestate and baggage: lists of members, passed on as they came once they are known to be well formed.
 *
 *     tracestate   member *( OWS "," OWS member )      member = [ key "=" value ]
 *     baggage      member *( OWS "," OWS member )      member = key OWS "=" OWS value *( OWS ";" OWS property )
 *                                                      property = key [ OWS "=" OWS value ]
 *
 * (https://www.w3.org/TR/trace-context-2/, whose keys take in those of level 1, and https://www.w3.org/TR/baggage/).
 * No key and no value can hold the separators, so the text is cut at these first. */
#include "wire/wire.h"

#include <string.h>

static const struct limits {
    uint32_t members, bytes;
} limits[] = {
    [LIST_TRACESTATE] = { 32, 512 },
    [LIST_BAGGAGE] = { 64, 8192 },
};
#define STATE_MAX 256 /* characters of a key or a value of tracestate */

static bool is_low_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* ---- tracestate ---- */

static bool is_state_key(struct weir_wire_text key)
{
    if (key.size == 0 || key.size > STATE_MAX || !is_low_or_digit(key.text[0])) return false;
    for (size_t i = 0; i < key.size; i++) {
        if (!is_low_or_digit(key.text[i]) && !is_one_of(key.text[i], "_-*/@")) return false;
    }
    return true;
}

/* Its last character is no blank: those were trimmed. */
static bool is_state_value(struct weir_wire_text value)
{
    if (value.size == 0 || value.size > STATE_MAX) return false;
    for (size_t i = 0; i < value.size; i++) {
        if (value.text[i] < ' ' || value.text[i] > '~' || value.text[i] == '=') return false;
    }
    return true;
}

static bool is_state_member(struct weir_wire_text member)
{
    if (member.size == 0) return true;
    struct weir_wire_text key = wire_cut('=', &member);
    return member.text != NULL && is_state_key(key) && is_state_value(member);
}

/* ---- baggage ---- */

static bool is_token(struct weir_wire_text token)
{
    for (size_t i = 0; i < token.size; i++) {
        char c = token.text[i];
        bool letter = is_low_or_digit(c) || (c >= 'A' && c <= 'Z');
        if (!letter && !is_one_of(c, "!#$%&'*+-.^_`|~")) return false;
    }
    return token.size != 0;
}

static bool is_baggage_value(struct weir_wire_text value)
{
    for (size_t i = 0; i < value.size; i++) {
        char c = value.text[i];
        if (c <= ' ' || c > '~' || is_one_of(c, "\",;\\")) return false;
    }
    return true;
}

/* The first pair must have its value, which may be empty; properties need not. */
static bool is_baggage_member(struct weir_wire_text member)
{
    for (bool first = true; member.text != NULL; first = false) {
        struct weir_wire_text value = wire_cut(';', &member), key = wire_cut('=', &value);
        if (!is_token(wire_trim(key))) return false;
        if (value.text == NULL && first) return false;
        if (value.text != NULL && !is_baggage_value(wire_trim(value))) return false;
    }
    return true;
}

/* ---- either ---- */

enum weir_wire_refusal wire_list_add(
    enum wire_list_kind kind, struct weir_wire_list *list, struct weir_wire_text text)
{
    struct weir_wire_list with = *list;
    if (with.parts == WEIR_WIRE_PARTS || text.size > limits[kind].bytes) return WEIR_WIRE_REFUSED_LONG;
    with.bytes += (uint32_t)text.size + (with.parts != 0);
    with.parts++;
    while (text.text != NULL) {
        struct weir_wire_text member = wire_trim(wire_cut(',', &text));
        bool good = kind == LIST_TRACESTATE ? is_state_member(member) : is_baggage_member(member);
        if (!good) return WEIR_WIRE_REFUSED_SYNTAX;
        with.members++;
    }
    if (with.bytes > limits[kind].bytes || with.members > limits[kind].members) return WEIR_WIRE_REFUSED_LONG;
    *list = with;
    return WEIR_WIRE_REFUSED_NONE;
}
