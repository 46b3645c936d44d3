/* One outcome as one sentence. */
#include "pipeline/text.h"

#include "pipeline/prose.h"

/* A DEGRADED outcome keeps the reason of what it hides, not its status; the reasons tell it, except that of
 * the operation's own outcome, which has none. */
static enum weir_status hidden_status(uint8_t reason)
{
    switch ((enum weir_reason)reason) {
    case WEIR_REASON_NONE:
    case WEIR_REASON_CHAOS: return WEIR_FAILED;
    case WEIR_REASON_TIMEOUT:
    case WEIR_REASON_DEADLINE: return WEIR_EXPIRED;
    case WEIR_REASON_CANCELED: return WEIR_CANCELED;
    default: return WEIR_REJECTED;
    }
}

static void say_who(struct prose *prose, const struct weir_pipeline *pipeline, uint8_t by)
{
    if (by == 0) return;
    const struct weir_policy *policy = pipeline == NULL ? NULL : weir_pipeline_policy(pipeline, by - 1u);
    if (policy != NULL) prose_say(prose, " by %s", policy_text(policy).text);
    else prose_say(prose, " by the policy at position %u", by - 1u);
}

static void say_numbers(
    struct prose *prose, const struct weir_pipeline *pipeline, uint8_t by, uint64_t now_ns)
{
    if (by == 0 || pipeline == NULL) return;
    const struct weir_policy *policy = weir_pipeline_policy(pipeline, by - 1u);
    if (policy == NULL) return;
    struct describe_text numbers = policy_described(policy, now_ns);
    if (numbers.text[0] != '\0') prose_say(prose, " (%s)", numbers.text);
}

static void say_reason(struct prose *prose, enum weir_status status, uint8_t reason)
{
    if (reason == WEIR_REASON_NONE) return;
    if (status == WEIR_CANCELED && reason == WEIR_REASON_CANCELED) return; /* it would say it twice */
    prose_say(prose, ": %s", weir_reason_text(reason));
}

/* What a context or a timeout ended keeps the last real error's code. */
static void say_code(struct prose *prose, enum weir_status status, int32_t code)
{
    if (code == 0) return;
    bool kept = status == WEIR_EXPIRED || status == WEIR_CANCELED || status == WEIR_REJECTED;
    prose_say(prose, ", %scode %d", kept ? "last error's " : "", code);
}

static void say_degraded(
    struct prose *prose, const struct weir_pipeline *pipeline, struct weir_outcome outcome)
{
    enum weir_status hidden = hidden_status(outcome.reason);
    bool own = outcome.reason == WEIR_REASON_NONE; /* which of the two, it does not say */
    prose_say(prose, ", answered");
    say_who(prose, pipeline, outcome.by);
    prose_say(prose, " instead of: %s", own ? "failed or overloaded" : weir_status_text(hidden));
    say_reason(prose, hidden, outcome.reason);
    say_code(prose, hidden, outcome.code);
}

char *pipeline_outcome_text(char *buffer, size_t size, const struct weir_pipeline *pipeline,
    struct weir_outcome outcome, uint64_t now_ns)
{
    struct prose prose = { buffer, size, 0 };
    enum weir_status status = outcome.status;
    prose_say(&prose, "%s", weir_status_text(status));
    if ((outcome.flags & WEIR_DEGRADED) != 0) {
        say_degraded(&prose, pipeline, outcome);
    } else {
        say_who(&prose, pipeline, outcome.by);
        say_reason(&prose, status, outcome.reason);
        say_numbers(&prose, pipeline, outcome.by, now_ns);
        say_code(&prose, status, outcome.code);
    }
    if ((outcome.flags & WEIR_LATE) != 0) prose_say(&prose, ", but after its timeout");
    if ((outcome.flags & WEIR_NOT_SENT) != 0) prose_say(&prose, ", nothing was sent");
    if ((outcome.flags & WEIR_NOT_REPEATABLE) != 0) prose_say(&prose, ", not to be repeated");
    if (outcome.retry_after_ns != 0) {
        prose_say(&prose, ", worth asking again in %s", duration_rough(outcome.retry_after_ns).text);
    }
    if ((outcome.flags & WEIR_SHADOW) != 0) prose_say(&prose, "; a policy in shadow would have refused it");
    return buffer;
}
