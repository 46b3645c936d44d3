/* Any headers in any order, against a slow parser that shares nothing with weir's: regular expressions over members
 * that were cut apart by hand. Both agree on the reason of each refusal, the counters, the deadline and the trace; and
 * what goes out again is read back as the same, and promises no more. */
#include "fuzz/fuzz.h"

#include <weir/wire.h>

#include <regex.h>

#define HEADERS 64
#define VALUE_MAX 12000
#define NOW (UINT64_C(1) << 40)

__extension__ typedef unsigned __int128 wide;

/* ---- the slow parser ---- */

enum which { GRPC, ENVOY, PARENT, STATE, BAGGAGE, OTHER };
static const char *const names[] = { "grpc-timeout", "x-envoy-expected-rq-timeout-ms", "traceparent",
    "tracestate", "baggage", "grpc-timeouts" };
static const size_t longest[] = { 9, 20, 256, 512, 8192 };

struct model {
    uint64_t left_ns;
    uint32_t seen[OTHER];
    bool lost[OTHER];
    char parent[256];
    struct {
        uint32_t parts, members, bytes;
        char text[WEIR_WIRE_PARTS][8193];
    } list[2];
    uint64_t refused[WEIR_WIRE_REFUSALS];
};

static bool matches(const char *pattern, const char *text)
{
    static struct {
        const char *pattern;
        regex_t compiled;
    } known[16];
    uint32_t i = 0;
    while (known[i].pattern != NULL && known[i].pattern != pattern) i++;
    if (known[i].pattern == NULL) {
        MUST(i < 15);
        MUST(regcomp(&known[i].compiled, pattern, REG_EXTENDED | REG_NOSUB) == 0);
        known[i].pattern = pattern;
    }
    return regexec(&known[i].compiled, text, 0, NULL, 0) == 0;
}

static uint64_t clamp(wide value)
{
    return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

static wide number_of(const char *digits)
{
    wide value = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++) value = value * 10 + (uint32_t)(*digits - '0');
    return value;
}

static bool model_grpc(struct model *model, const char *text)
{
    static const char pattern[] = "^[0-9]{1,8}[HMSmun]$", letters[] = "HMSmun";
    static const uint64_t unit_ns[] = { 3600000000000, 60000000000, 1000000000, 1000000, 1000, 1 };
    if (!matches(pattern, text)) return false;
    uint64_t ns = unit_ns[strchr(letters, text[strlen(text) - 1]) - letters];
    uint64_t left_ns = clamp(number_of(text) * ns);
    if (left_ns < model->left_ns) model->left_ns = left_ns;
    return true;
}

static bool model_envoy(struct model *model, const char *text)
{
    static const char pattern[] = "^[0-9]+$";
    if (!matches(pattern, text)) return false;
    uint64_t left_ns = clamp(number_of(text) * 1000000);
    if (left_ns != 0 && left_ns < model->left_ns) model->left_ns = left_ns;
    return true;
}

static bool model_parent(struct model *model, const char *text)
{
    static const char first[] = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";
    static const char later[] = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$";
    static const char none[] = "^(ff|.{2}-0{32}-|.{2}-.{32}-0{16}-)";
    if (matches(none, text)) return false;
    if (!matches(first, text) && (strncmp(text, "00", 2) == 0 || !matches(later, text))) return false;
    snprintf(model->parent, sizeof model->parent, "%.55s", text);
    return true;
}

#define TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define OCTETS "[]!#-+./0-9:<-[^-~-]*"
#define BLANKS "[ \t]*"

static bool is_member(uint32_t kind, const char *member)
{
    static const char state[] =
        "^(|[a-z0-9][a-z0-9_*/@-]*=[]!#-+./0-9:;<>-[\\^-~\" -]*[]!#-+./0-9:;<>-[\\^-~\"-])$";
    static const char baggage[] =
        "^" TOKEN BLANKS "=" BLANKS OCTETS "(" BLANKS ";" BLANKS TOKEN "(" BLANKS "=" BLANKS OCTETS ")?)*$";
    if (kind != 0) return matches(baggage, member);
    const char *equals = strchr(member, '=');
    if (equals != NULL && (equals - member > 256 || strlen(equals + 1) > 256)) return false;
    return matches(state, member);
}

/* Without blanks at its ends. */
static size_t trimmed(const char *text, size_t size, char *copy)
{
    size_t first = 0;
    while (first < size && strchr(" \t", text[first]) != NULL && text[first] != '\0') first++;
    while (size > first && strchr(" \t", text[size - 1]) != NULL && text[size - 1] != '\0') size--;
    memcpy(copy, text + first, size - first);
    copy[size - first] = '\0';
    return size - first;
}

static enum weir_wire_refusal model_list(struct model *model, uint32_t kind, const char *text)
{
    static const uint32_t most_members[] = { 32, 64 }, most_bytes[] = { 512, 8192 };
    static char member[VALUE_MAX];
    uint32_t members = model->list[kind].members, bytes = model->list[kind].bytes;
    uint32_t parts = model->list[kind].parts;
    if (*text == '\0') return WEIR_WIRE_REFUSED_NONE;
    if (parts == WEIR_WIRE_PARTS) return WEIR_WIRE_REFUSED_LONG;
    for (const char *at = text; at != NULL; members++) {
        const char *comma = strchr(at, ',');
        trimmed(at, comma == NULL ? strlen(at) : (size_t)(comma - at), member);
        if (!is_member(kind, member)) return WEIR_WIRE_REFUSED_SYNTAX;
        at = comma == NULL ? NULL : comma + 1;
    }
    bytes += (uint32_t)strlen(text) + (parts == 0 ? 0 : 1);
    if (members > most_members[kind] || bytes > most_bytes[kind]) return WEIR_WIRE_REFUSED_LONG;
    memcpy(model->list[kind].text[parts], text, strlen(text) + 1);
    model->list[kind].parts = parts + 1;
    model->list[kind].members = members;
    model->list[kind].bytes = bytes;
    return WEIR_WIRE_REFUSED_NONE;
}

static enum weir_wire_refusal model_judge(
    struct model *model, enum which which, const char *value, size_t size)
{
    static char text[VALUE_MAX];
    bool again = model->seen[which]++ != 0, good;
    size = trimmed(value, size, text);
    if (size > longest[which]) return WEIR_WIRE_REFUSED_LONG;
    for (size_t i = 0; i < size; i++) {
        if (((uint8_t)text[i] < 32 && text[i] != '\t') || text[i] == 127) return WEIR_WIRE_REFUSED_CONTROL;
    }
    switch (which) {
    case GRPC: good = model_grpc(model, text); break;
    case ENVOY: good = model_envoy(model, text); break;
    case PARENT: good = model_parent(model, text); break;
    case STATE: return model_list(model, 0, text);
    default: return model_list(model, 1, text);
    }
    if (!good) return WEIR_WIRE_REFUSED_SYNTAX;
    return again ? WEIR_WIRE_REFUSED_DUPLICATE : WEIR_WIRE_REFUSED_NONE;
}

static enum weir_wire_refusal model_header(
    struct model *model, enum which which, const char *value, size_t size)
{
    if (which == OTHER) return WEIR_WIRE_REFUSED_NONE;
    enum weir_wire_refusal refusal = model_judge(model, which, value, size);
    if (refusal == WEIR_WIRE_REFUSED_NONE) return refusal;
    model->lost[which] = true;
    model->refused[refusal]++;
    return refusal;
}

/* ---- what both hold ---- */

static void check_list(const struct model *model, uint32_t kind, const struct weir_wire_text *parts)
{
    uint32_t count = model->lost[STATE + kind] ? 0 : model->list[kind].parts;
    for (uint32_t i = 0; i < count; i++) {
        MUST(parts[i].size == strlen(model->list[kind].text[i]));
        MUST(memcmp(parts[i].text, model->list[kind].text[i], parts[i].size) == 0);
    }
    if (count < WEIR_WIRE_PARTS) MUST(parts[count].size == 0);
}

static void check_agreed(const struct model *model, const struct weir_wire *wire)
{
    char hex[64] = "";
    const struct weir_trace *trace = &wire->trace;
    MUST(weir_wire_deadline(wire, 0) == model->left_ns);
    for (int i = 0; i < 16; i++) sprintf(hex + 2 * i, "%02x", trace->trace_id[i]);
    strcat(hex, "-");
    for (int i = 0; i < 8; i++) sprintf(hex + 33 + 2 * i, "%02x", trace->span_id[i]);
    bool traced = model->seen[PARENT] != 0 && !model->lost[PARENT];
    const char *parent = traced ? model->parent : "..-00000000000000000000000000000000-0000000000000000-00";
    MUST(memcmp(hex, parent + 3, 49) == 0);
    MUST(trace->flags == (strtoul(parent + 53, NULL, 16) & 3));
    check_list(model, 0, trace->state);
    check_list(model, 1, trace->baggage);
}

static struct weir_wire read_back(const char *const *lines, size_t count)
{
    struct weir_wire wire;
    weir_wire_init(&wire, NULL);
    for (size_t i = 0; i < count; i++) {
        const char *colon = strstr(lines[i], ": ");
        MUST(colon != NULL);
        MUST(weir_wire_header(&wire, lines[i], (size_t)(colon - lines[i]), colon + 2, strlen(colon + 2)) ==
            WEIR_WIRE_REFUSED_NONE);
    }
    return wire;
}

/* Joined by commas. */
static void join(const struct weir_wire_text *parts, char *text)
{
    for (uint32_t i = 0; i < WEIR_WIRE_PARTS && parts[i].size != 0; i++) {
        if (i != 0) *text++ = ',';
        memcpy(text, parts[i].text, parts[i].size);
        text += parts[i].size;
    }
    *text = '\0';
}

static void check_same(const struct weir_wire_text *came, const struct weir_wire_text *went, bool sent)
{
    static char before[VALUE_MAX], after[VALUE_MAX];
    join(came, before);
    join(went, after);
    MUST(strcmp(sent ? before : "", after) == 0);
}

static void check_lines(const struct weir_wire *wire, size_t size)
{
    static char buffer[WEIR_WIRE_SIZE];
    const char *lines[WEIR_WIRE_LINES];
    struct weir_context context;
    weir_wire_context(&context, NULL, wire, NOW, NULL);
    const struct weir_attempt attempt = { .deadline_ns = context.deadline_ns, .context = &context };
    uint64_t unsent = weir_wire_stats().unsent;
    size_t count = weir_wire_lines(NULL, &attempt, NOW, buffer, sizeof buffer, lines);
    MUST(weir_wire_stats().unsent == unsent);
    struct weir_wire again = read_back(lines, count);
    uint64_t least_ns = wire->left_ns < 1000000 ? 1000000 : wire->left_ns;
    MUST(again.left_ns <= least_ns);
    if (wire->left_ns != 0) MUST(again.left_ns <= wire->left_ns || wire->left_ns > WEIR_NEVER - NOW);
    bool traced = memcmp(&(struct weir_trace) { .flags = 0 }, &wire->trace, 16) != 0;
    MUST(memcmp(again.trace.trace_id, wire->trace.trace_id, 16) == 0 &&
        again.trace.flags == wire->trace.flags);
    check_same(wire->trace.state, again.trace.state, traced);
    check_same(wire->trace.baggage, again.trace.baggage, true);
    char *small = malloc(size == 0 ? 1 : size); /* so that the sanitizer sees an overrun */
    MUST(small != NULL);
    size_t fewer = weir_wire_lines(NULL, &attempt, NOW, small, size, lines);
    MUST(fewer <= count && weir_wire_stats().unsent == unsent + count - fewer);
    free(small);
}

/* ---- input ---- */

/* A piece of the input, perhaps many times over; in memory of exactly its size. */
static char *any_value(struct bytes *in, bool repeated, size_t *size)
{
    size_t piece = take(in), times = repeated ? 1 + take(in) : 1;
    if (piece > (size_t)(in->end - in->at)) piece = (size_t)(in->end - in->at);
    if (piece * times >= VALUE_MAX) times = 1;
    *size = piece * times;
    char *value = malloc(*size == 0 ? 1 : *size);
    MUST(value != NULL);
    for (size_t i = 0; i < times; i++) memcpy(value + i * piece, in->at, piece);
    in->at += piece;
    return value;
}

static void any_name(enum which which, bool loud, char *name)
{
    strcpy(name, names[which]);
    for (; loud && *name != '\0'; name++) {
        if (*name >= 'a' && *name <= 'z') *name = (char)(*name - 32);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model model;
    struct bytes in = { data, data + size };
    struct weir_wire wire;
    char *values[HEADERS], name[40];
    uint32_t count = 0;
    memset(&model, 0, sizeof model);
    model.left_ns = WEIR_NEVER;
    weir_wire_init(&wire, NULL);
    size_t small = take_wide(&in, 2) % (WEIR_WIRE_SIZE + 1);
    struct weir_wire_stats before = weir_wire_stats();
    for (; bytes_left(&in) && count < HEADERS; count++) {
        uint32_t choice = take(&in);
        enum which which = (enum which)(choice % (OTHER + 1));
        size_t length;
        any_name(which, (choice & 64) != 0, name);
        values[count] = any_value(&in, (choice & 128) != 0, &length);
        MUST(weir_wire_header(&wire, name, strlen(name), values[count], length) ==
            model_header(&model, which, values[count], length));
    }
    struct weir_wire_stats after = weir_wire_stats();
    for (uint32_t i = 0; i < WEIR_WIRE_REFUSALS; i++)
        MUST(after.refused[i] - before.refused[i] == model.refused[i]);
    check_agreed(&model, &wire);
    check_lines(&wire, small);
    while (count > 0) free(values[--count]);
    return 0;
}
