/* What holds of each instance by itself, whatever a store says: it may lie as it likes. */
#include "shared/checks.h"

#define LOOSE 1e-3 /* tokens: of the doubles */

struct alone {
    double credit; /* rate: what it may yet spend */
    int64_t at_ns; /* when that was reckoned */
    int64_t share; /* rate: instances that it is one of, while the limit is its own; 0: what it was lent is */
    int64_t in_use, instances; /* bulkhead; 0: it has a lease */
    int64_t probes;
    int64_t began_ns; /* the last of them */
};

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* ---- rate: no more than it asked for and got; away, no more than its own limit says ---- */

static double per_ns(const struct alone *alone, const struct alone_terms *terms)
{
    if (alone->share == 0 || terms->away == WEIR_AWAY_CLOSED) return 0;
    return terms->away == WEIR_AWAY_OPEN ? terms->per_ns : terms->per_ns / (double)alone->share;
}

/* A question was under way when it began to live on its share: it may hold both. */
static double most(const struct alone *alone, const struct alone_terms *terms)
{
    bool open = alone->share != 0 && terms->away == WEIR_AWAY_OPEN;
    return (open ? terms->burst : 2 * terms->lent) + terms->parked;
}

static void reckon(struct alone *alone, const struct alone_terms *terms, int64_t now_ns)
{
    double grown = (double)(now_ns - alone->at_ns) * per_ns(alone, terms);
    alone->credit = least(alone->credit + grown, most(alone, terms));
    alone->at_ns = now_ns;
}

/* Back from a limit of its own, nothing is left of it but what its thread had taken. */
static void change_rate(
    struct alone *alone, const struct history_event *event, const struct alone_terms *terms)
{
    bool own = event->a == WEIR_SHARE_DEGRADED || event->a == WEIR_SHARE_DETACHED;
    bool back = alone->share != 0 && !own;
    reckon(alone, terms, event->at_ns);
    alone->share = own ? (event->b < 1 ? 1 : event->b) : 0;
    if (back && terms->away == WEIR_AWAY_OPEN) alone->credit = least(alone->credit, terms->parked);
}

static const char *spend(
    struct alone *alone, const struct history_event *event, const struct alone_terms *terms)
{
    reckon(alone, terms, event->at_ns);
    alone->credit -= (double)event->a;
    return alone->credit < -LOOSE ? "rate: more than it was lent" : NULL;
}

/* ---- bulkhead: never more than its own limit; away, no more than its share ---- */

static void change_bulkhead(struct alone *alone, const struct history_event *event)
{
    bool away = event->a == WEIR_SHARE_DEGRADED;
    if (!away) alone->instances = 0;
    else if (alone->instances == 0 || event->b < alone->instances) alone->instances = event->b;
}

static const char *enter(
    struct alone *alone, const struct history_event *event, const struct alone_terms *terms)
{
    int64_t limit = terms->limit;
    if (alone->instances != 0 && terms->away == WEIR_AWAY_SHARE) limit /= alone->instances;
    if (alone->instances != 0 && terms->away == WEIR_AWAY_CLOSED) limit = 0;
    alone->in_use += event->a;
    return alone->in_use > limit ? "bulkhead: more than one instance may have" : NULL;
}

/* ---- breaker, lock ---- */

static const char *probe(
    struct alone *alone, const struct history_event *event, const struct alone_terms *terms)
{
    if (event->at_ns > alone->began_ns + terms->probe_ns) alone->probes = 0;
    alone->began_ns = event->at_ns;
    return ++alone->probes > terms->probes ? "breaker: more probes than its own config has" : NULL;
}

static const char *hold(const struct history_event *event, const struct alone_terms *terms)
{
    return event->b - event->at_ns > terms->lock_lease_ns ? "lock: held for longer than a lease" : NULL;
}

static const char *look(
    struct alone *alone, const struct history_event *event, const struct alone_terms *terms)
{
    switch (event->kind) {
    case SEEN_STATE:
        if (event->object == SEEN_RATE) change_rate(alone, event, terms);
        if (event->object == SEEN_BULKHEAD) change_bulkhead(alone, event);
        return NULL;
    case SEEN_LENT:
        reckon(alone, terms, event->at_ns);
        alone->credit += (double)event->a;
        return NULL;
    case SEEN_ADMIT: return spend(alone, event, terms);
    case SEEN_ENTER: return enter(alone, event, terms);
    case SEEN_LEAVE: alone->in_use -= event->a; return NULL;
    case SEEN_PROBE: return probe(alone, event, terms);
    case SEEN_PROBED: alone->probes -= alone->probes > 0; return NULL;
    case SEEN_HOLD:
    case SEEN_VALID: return hold(event, terms);
    case SEEN_GONE: *alone = (struct alone) { .at_ns = event->at_ns }; return NULL;
    default: return NULL;
    }
}

const char *check_alone(
    const struct history_event *events, size_t count, const struct alone_terms *terms, size_t *at)
{
    struct alone alone[SEEN_PROCESSES] = { 0 };
    for (*at = 0; *at < count; ++*at) {
        const char *wrong = look(&alone[events[*at].process], &events[*at], terms);
        if (wrong != NULL) return wrong;
    }
    return NULL;
}
