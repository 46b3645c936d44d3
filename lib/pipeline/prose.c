#include "pipeline/prose.h"

#include <stdarg.h>
#include <string.h>

#define SHORT_NAME 28

void prose_say(struct prose *prose, const char *format, ...)
{
    size_t used = prose->length < prose->size ? prose->length : prose->size;
    va_list arguments;
    va_start(arguments, format);
    /* Once it is full there is nowhere to write, and snprintf() only counts. */
    char *place = used < prose->size ? prose->buffer + used : NULL;
    int length = vsnprintf(place, prose->size - used, format, arguments);
    va_end(arguments);
    if (length > 0) prose->length += (size_t)length;
}

static struct policy_text text_of(const struct weir_policy *policy, size_t most)
{
    struct policy_text answer;
    char kind[32], name[WEIR_NAME_MAX * 4 + 1];
    escape(policy->ops->kind, kind, sizeof kind);
    escape(policy->name, name, sizeof name);
    bool cut = strlen(name) > most;
    int shown = (int)(cut ? most - 3 : most);
    snprintf(answer.text, sizeof answer.text, "%s \"%.*s%s\"", kind, shown, name, cut ? "..." : "");
    return answer;
}

struct policy_text policy_text(const struct weir_policy *policy)
{
    return text_of(policy, (size_t)4 * WEIR_NAME_MAX);
}

struct policy_text policy_short(const struct weir_policy *policy)
{
    return text_of(policy, SHORT_NAME);
}

struct describe_text policy_described(const struct weir_policy *policy, uint64_t now_ns)
{
    struct describe_text answer = { "" };
    char raw[sizeof answer.text / 2] = "";
    if (policy->ops->describe == NULL) return answer;
    policy->ops->describe(policy->config, policy->state, now_ns, raw, sizeof raw);
    raw[sizeof raw - 1] = '\0';
    escape(raw, answer.text, sizeof answer.text);
    return answer;
}

struct duration_text duration_rough(uint64_t ns)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = { { 86400 * WEIR_S, "d" }, { 3600 * WEIR_S, "h" }, { 60 * WEIR_S, "min" }, { WEIR_S, "s" },
        { WEIR_MS, "ms" }, { WEIR_US, "us" }, { 1, "ns" } };
    struct duration_text duration;
    unsigned i = 0;
    while (units[i].ns > 1 && ns < units[i].ns) i++;
    uint64_t whole = ns / units[i].ns, tenths = ns % units[i].ns * 10 / units[i].ns;
    if (whole >= 10 || tenths == 0) {
        snprintf(duration.text, sizeof duration.text, "%" PRIu64 " %s", whole, units[i].name);
    } else {
        snprintf(
            duration.text, sizeof duration.text, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[i].name);
    }
    return duration;
}
