/* A leaking bucket, in doubles: what came in less what may have, never below 0, is what the worst window has too much. */
#include "shared/checks.h"

#define LOOSE 1e-3 /* tokens: of the doubles */

struct bucket {
    double level, shares; /* shares: of the rate, of those that are cut off */
    double share[SEEN_PROCESSES];
    int64_t at_ns, lent_ns[SEEN_PROCESSES]; /* lent: until when, by the store's count */
    bool there[SEEN_PROCESSES];
    bool open[SEEN_PROCESSES];     /* a limit of its own holds (check_alone.c) */
    double parked[SEEN_PROCESSES]; /* what its thread may have of that, when it is over */
};

static void allow(struct bucket *bucket, double tokens)
{
    bucket->level = bucket->level > tokens ? bucket->level - tokens : 0;
}

static void set_share(struct bucket *bucket, uint16_t process, double share)
{
    bucket->shares += share - bucket->share[process];
    bucket->share[process] = share;
}

static void change(struct bucket *bucket, const struct history_event *event, const struct rate_terms *terms)
{
    bool own = event->a == WEIR_SHARE_DEGRADED || event->a == WEIR_SHARE_DETACHED;
    uint16_t process = event->process;
    bucket->there[process] = true;
    bucket->open[process] = own && terms->away == WEIR_AWAY_OPEN;
    if (bucket->open[process]) bucket->parked[process] = terms->parked;
    if (own && terms->away == WEIR_AWAY_SHARE) {
        set_share(bucket, process, 1.0 / (double)(event->b == 0 ? 1 : event->b));
    } else {
        /* What has grown of its share is good for a lease, too. */
        bool back =
            !own && bucket->share[process] != 0 && bucket->lent_ns[process] < event->at_ns + terms->lease_ns;
        if (back) bucket->lent_ns[process] = event->at_ns + terms->lease_ns;
        set_share(bucket, process, 0);
    }
}

static const char *spend(
    struct bucket *bucket, const struct history_event *event, const struct rate_terms *terms)
{
    uint16_t process = event->process;
    double tokens = (double)event->a;
    if (bucket->open[process]) return NULL;
    if (tokens <= bucket->parked[process]) {
        bucket->parked[process] -= tokens;
        return NULL;
    }
    if (bucket->share[process] == 0 && event->at_ns >= bucket->lent_ns[process])
        return "rate: spent after its lease";
    bucket->level += tokens;
    return bucket->level > terms->burst + terms->lent + LOOSE ? "rate: more than the bound" : NULL;
}

/* While somebody can reach the store it lends the rate; else what grew meanwhile is owed for what was used instead. */
static double leak(const struct bucket *bucket)
{
    bool all = true;
    for (int i = 0; i < SEEN_PROCESSES; i++) {
        if (bucket->there[i] && bucket->share[i] == 0) all = false;
    }
    return all && bucket->shares > 1 ? bucket->shares : 1 + bucket->shares;
}

const char *check_rate(
    const struct history_event *events, size_t count, const struct rate_terms *terms, size_t *at)
{
    struct bucket bucket = { 0 };
    const char *wrong;
    double jump;
    for (*at = 0; *at < count; ++*at) {
        const struct history_event *event = &events[*at];
        allow(&bucket, (double)(event->at_ns - bucket.at_ns) * terms->per_ns * leak(&bucket));
        bucket.at_ns = event->at_ns;
        switch (event->kind) {
        case SEEN_ADMIT:
            if ((wrong = spend(&bucket, event, terms)) != NULL) return wrong;
            break;
        case SEEN_LEASE:
            if (event->object == SEEN_RATE) bucket.lent_ns[event->process] = event->a;
            break;
        case SEEN_STATE:
            if (event->object == SEEN_RATE) change(&bucket, event, terms);
            break;
        case SEEN_GONE:
            set_share(&bucket, event->process, 0);
            bucket.there[event->process] = bucket.open[event->process] = false;
            bucket.parked[event->process] = 0;
            break;
        case SEEN_LOSS: allow(&bucket, terms->burst); break;
        case SEEN_JUMP:
            jump = (double)event->a * 1e3 * terms->per_ns;
            if (jump > 0) allow(&bucket, jump < terms->burst ? jump : terms->burst);
            if (event->a * 1000 >= terms->lease_ns)
                allow(&bucket, terms->held); /* who holds what is forgotten */
            break;
        default: break;
        }
    }
    return NULL;
}
