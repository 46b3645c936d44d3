#include "policy/outcome.h"

#include <errno.h>

enum outcome_view outcome_view(
    const struct weir_outcome *outcome, uint32_t position, uint64_t ran_ns, uint64_t late_failure_ns)
{
    switch ((enum weir_status)outcome->status) {
    case WEIR_OK: return VIEW_SUCCESS;
    case WEIR_FAILED: return VIEW_FAILURE;
    case WEIR_EXPIRED:
        if (outcome_from_inside(outcome, position)) return VIEW_FAILURE;
        return ran_ns >= late_failure_ns ? VIEW_FAILURE : VIEW_NOTHING;
    case WEIR_OVERLOADED: return VIEW_OVERLOADED;
    case WEIR_REJECTED:
    case WEIR_CANCELED:
    case WEIR_IGNORED:
    case WEIR_STATUSES: break;
    }
    return VIEW_NOTHING;
}

/* Whether its status and its origin ask for another attempt at all. */
static bool is_wanted(const struct weir_outcome *outcome, uint32_t position, uint32_t on)
{
    if ((on & (UINT32_C(1) << outcome->status)) == 0) return false;
    switch ((enum weir_status)outcome->status) {
    case WEIR_FAILED:
    case WEIR_OVERLOADED: return true;
    case WEIR_EXPIRED:
    case WEIR_REJECTED: return outcome_from_inside(outcome, position);
    case WEIR_OK:
    case WEIR_CANCELED:
    case WEIR_IGNORED:
    case WEIR_STATUSES: break;
    }
    return false;
}

enum outcome_retry outcome_retry(
    const struct weir_outcome *outcome, uint32_t position, uint32_t on, bool idempotent)
{
    if (!is_wanted(outcome, position, on)) return RETRY_UNWANTED;
    if ((outcome->flags & WEIR_NOT_REPEATABLE) != 0) return RETRY_NOT_REPEATABLE;
    bool declined = outcome->status == WEIR_OVERLOADED || outcome->status == WEIR_REJECTED;
    bool untouched = declined || (outcome->flags & WEIR_NOT_SENT) != 0;
    if (untouched || idempotent) return RETRY_YES;
    return RETRY_NOT_IDEMPOTENT;
}

struct weir_outcome weir_from_errno(int error)
{
    struct weir_outcome outcome = { .status = WEIR_FAILED, .code = error };
    switch (error) {
    case 0: outcome.status = WEIR_OK; break;
    case ECANCELED: outcome.status = WEIR_CANCELED; break;
    case EBUSY:
    case EUSERS: outcome.status = WEIR_OVERLOADED; break;
    case ECONNREFUSED:
    case EADDRNOTAVAIL: outcome.flags = WEIR_NOT_SENT; break;
    default: break;
    }
    return outcome;
}

struct weir_outcome weir_from_int(int result)
{
    return (struct weir_outcome) { .status = result == 0 ? WEIR_OK : WEIR_FAILED, .code = result };
}

struct weir_outcome weir_from_http(int status)
{
    struct weir_outcome outcome = { .status = WEIR_OK, .code = status };
    if (status == 429 || status == 503) outcome.status = WEIR_OVERLOADED;
    else if (status < 100 || status >= 500 || status == 408 || status == 425) outcome.status = WEIR_FAILED;
    return outcome;
}

struct weir_outcome weir_from_code(int code)
{
    return (struct weir_outcome) { .status = WEIR_OK, .code = code };
}

/* An outcome that says more than a number is not judged again: a nested call that was refused has code 0 too. */
static struct weir_outcome judge(struct weir_outcome (*from)(int code), struct weir_outcome outcome)
{
    if (outcome.status != WEIR_OK) return outcome;
    struct weir_outcome judged = from(outcome.code);
    judged.flags |= outcome.flags;
    judged.retry_after_ns = outcome.retry_after_ns;
    return judged;
}

struct weir_outcome weir_classify_errno(void *argument, struct weir_outcome outcome)
{
    (void)argument;
    return judge(weir_from_errno, outcome);
}

struct weir_outcome weir_classify_int(void *argument, struct weir_outcome outcome)
{
    (void)argument;
    return judge(weir_from_int, outcome);
}

struct weir_outcome weir_classify_http(void *argument, struct weir_outcome outcome)
{
    (void)argument;
    return judge(weir_from_http, outcome);
}

const char *weir_status_text(enum weir_status status)
{
    static const char *const texts[] = { "ok", "failed", "rejected", "expired", "canceled", "overloaded",
        "ignored" };
    return (unsigned)status < WEIR_STATUSES ? texts[status] : "?";
}

const char *weir_reason_text(enum weir_reason reason)
{
    static const char *const texts[] = {
#define X(name, text) text,
        WEIR_REASON_MAP(X)
#undef X
    };
    return (unsigned)reason < WEIR_REASONS ? texts[reason] : "?";
}
