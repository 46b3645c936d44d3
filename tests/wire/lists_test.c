/* tracestate and baggage: members, limits, parts. */
#include "wire/wire_words.h"

#include <stdio.h>
#include <stdlib.h>

static const char state[] = "tracestate", baggage[] = "baggage";

/* As many members as that, each `member` with its number, separated by commas. Yours to free. */
static char *members_of(uint32_t count, const char *member)
{
    char *text = calloc(count, 16), *at = text;
    CHECK(text != NULL);
    for (uint32_t i = 0; i < count; i++) at += sprintf(at, i == 0 ? "%s%u=1" : ",%s%u=1", member, i);
    return text;
}

/* `before`, then so many times c, then `after`. Yours to free. */
static char *long_text(const char *before, size_t count, char c, const char *after)
{
    size_t head = strlen(before);
    char *text = malloc(head + count + strlen(after) + 1);
    CHECK(text != NULL);
    memcpy(text, before, head);
    memset(text + head, c, count);
    memcpy(text + head + count, after, strlen(after) + 1);
    return text;
}

static void check_text(const char *name, char *text, enum weir_wire_refusal refusal)
{
    check_refused(name, text, strlen(text), refusal);
    free(text);
}

TEST(wire_lists, tracestate_members)
{
    static const char *const good[] = { "", "rojo=00f067aa0ba902b7",
        "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "foo=1 \t , \t bar=2, \t baz=3", "foo=1,", ",foo=1",
        "foo=1,,,bar=2", ",", "fw529a3039@dt=FfffC8AA;x", "a=b c", "a= b",
        "a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", "0a=1", "a_-*/@9=z", "foo=1,foo=2" };
    static const char *const bad[] = { "foo", "foo=", "=1", "foo =1", "foo=1=2", "Foo=1", "FOO=1", "_a=1",
        "a.b=1", "foo=1;bar=2,baz", "foo=\xc3\xa4", "f\xc3\xa4=1", "a=b\tc", "foo=1 bar=2", "*=1", "@a=1",
        "a b=1" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) check_taken(state, good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(state, bad[i], strlen(bad[i]), WEIR_WIRE_REFUSED_SYNTAX);
}

TEST(wire_lists, tracestate_limits)
{
    check_text(state, members_of(32, "k"), WEIR_WIRE_REFUSED_NONE);
    check_text(state, members_of(33, "k"), WEIR_WIRE_REFUSED_LONG);
    check_text(state, long_text("", 256, 'k', "=1"), WEIR_WIRE_REFUSED_NONE);
    check_text(state, long_text("", 257, 'k', "=1"), WEIR_WIRE_REFUSED_SYNTAX);
    check_text(state, long_text("k=", 256, 'v', ""), WEIR_WIRE_REFUSED_NONE);
    check_text(state, long_text("k=", 257, 'v', ""), WEIR_WIRE_REFUSED_SYNTAX);
    char *text = long_text("a=1,k=", 256, 'v', ",b=");
    text = realloc(text, 600);
    CHECK(text != NULL);
    size_t size = strlen(text);
    memset(text + size, 'w', 512 - size);
    check_refused(state, text, 512, WEIR_WIRE_REFUSED_NONE);
    text[512] = 'w';
    check_refused(state, text, 513, WEIR_WIRE_REFUSED_LONG);
    free(text);
}

TEST(wire_lists, baggage_members)
{
    static const char *const good[] = { "",
        "key1=value1;property1;property2, key2 = value2, key3=value3; p=v",
        "userId=alice,serverNode=DF%2028,isProduction=false", "a=", "a=;p", "a=b=c", "a=1;p=", "a \t=\t 1",
        "a=1 ; p = 2 ; q", "!#$%&'*+-.^_`|~aZ09=!#$%&'()*+-./0:<=>?@[]^_`{|}~", "a=1,a=2" };
    static const char *const bad[] = { "a", "=1", "a;p=1", "a=1,", ",a=1", "a=1,,b=2", ",", ";", "a=1;",
        "a=1;;p", "a=1;=2", "a=b c", "a=\"1\"", "a=\\", "a b=1", "a@b=1", "a=\xc3\xa4", "\xc3\xa4=1",
        "a=1;p q", "a=b\tc", "a/b=1" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) check_taken(baggage, good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(baggage, bad[i], strlen(bad[i]), WEIR_WIRE_REFUSED_SYNTAX);
}

TEST(wire_lists, baggage_limits)
{
    check_text(baggage, members_of(64, "k"), WEIR_WIRE_REFUSED_NONE);
    check_text(baggage, members_of(65, "k"), WEIR_WIRE_REFUSED_LONG);
    check_text(baggage, long_text("k=", 8190, 'v', ""), WEIR_WIRE_REFUSED_NONE);
    check_text(baggage, long_text("k=", 8191, 'v', ""), WEIR_WIRE_REFUSED_LONG);
}

TEST(wire_lists, control_characters_are_refused)
{
    for (int c = 0; c < 256; c++) {
        if ((c >= 0x20 && c != 0x7f) || c == '\t') continue;
        char value[] = "a=1,b=x1";
        value[6] = (char)c;
        check_refused(state, value, 8, WEIR_WIRE_REFUSED_CONTROL);
        check_refused(baggage, value, 8, WEIR_WIRE_REFUSED_CONTROL);
    }
    check_refused(baggage, "a=1\r\nx-evil: 1", 14, WEIR_WIRE_REFUSED_CONTROL);
}

static void check_part(struct weir_wire_text part, const char *text)
{
    CHECK_EQ(part.size, strlen(text));
    CHECK(memcmp(part.text, text, part.size) == 0);
}

TEST(wire_lists, parts_are_kept_in_order_and_empty_ones_are_none)
{
    struct weir_wire wire = fresh();
    CHECK_EQ(give(&wire, state, " a=1 "), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, state, "  "), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, baggage, "x=9"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, state, "b=2,c=3"), WEIR_WIRE_REFUSED_NONE);
    check_part(wire.trace.state[0], "a=1");
    check_part(wire.trace.state[1], "b=2,c=3");
    CHECK_EQ(wire.trace.state[2].size, 0);
    check_part(wire.trace.baggage[0], "x=9");
}

/* Whichever part is bad, and whatever is wrong with it: nothing is left of that list, and the other stays. */
TEST(wire_lists, one_bad_part_drops_all_parts)
{
    static const char *const wrong[] = { "a", "a=\n", NULL };
    char *many = members_of(33, "k");
    for (size_t kind = 0; kind < 3; kind++) {
        for (int bad = 0; bad < 3; bad++) {
            struct weir_wire wire = fresh();
            CHECK_EQ(give(&wire, baggage, "x=9"), WEIR_WIRE_REFUSED_NONE);
            for (int part = 0; part < 3; part++) {
                const char *text = part != bad ? "good=1" : wrong[kind] != NULL ? wrong[kind] : many;
                CHECK_EQ(give(&wire, state, text) == WEIR_WIRE_REFUSED_NONE, part != bad);
            }
            for (int part = 0; part < WEIR_WIRE_PARTS; part++) CHECK_EQ(wire.trace.state[part].size, 0);
            check_part(wire.trace.baggage[0], "x=9");
        }
    }
    free(many);
}

TEST(wire_lists, limits_are_those_of_all_parts_together)
{
    struct weir_wire wire = fresh();
    char *half = members_of(32, "k"), *value = long_text("k=", 4094, 'v', "");
    CHECK_EQ(give(&wire, state, "a=1"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, state, half), WEIR_WIRE_REFUSED_LONG);
    wire = fresh();
    CHECK_EQ(give(&wire, baggage, half), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, baggage, half), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, baggage, "a=1"), WEIR_WIRE_REFUSED_LONG);
    wire = fresh();
    CHECK_EQ(give(&wire, baggage, value), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, baggage, value), WEIR_WIRE_REFUSED_LONG); /* with the comma between, one too many */
    wire = fresh();
    CHECK_EQ(give(&wire, baggage, value), WEIR_WIRE_REFUSED_NONE);
    value[4095] = '\0';
    CHECK_EQ(give(&wire, baggage, value), WEIR_WIRE_REFUSED_NONE);
    wire = fresh();
    for (int part = 0; part < WEIR_WIRE_PARTS; part++)
        CHECK_EQ(give(&wire, state, "a=1"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, state, "a=1"), WEIR_WIRE_REFUSED_LONG);
    CHECK_EQ(wire.trace.state[0].size, 0);
    free(half);
    free(value);
}
