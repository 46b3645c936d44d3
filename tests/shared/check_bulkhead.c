#include "shared/checks.h"

#include <stdlib.h>

/* What a process has in use under its present lease, and how often one of its leases has ended: a call that was let in
 * under another counts no more. */
struct block {
    int64_t in_use, until_ns, spell;
    bool lent; /* it says that it has a lease */
};

struct view {
    struct block block[SEEN_PROCESSES];
    int64_t *spell_of; /* of each call, when it was let in */
    int64_t unsure_ns; /* until then the store gets to know again who has what */
};

static void end(struct block *block)
{
    block->in_use = 0;
    block->until_ns = 0;
    block->spell++;
}

static void end_what_is_over(struct view *view, int64_t now_ns)
{
    for (int i = 0; i < SEEN_PROCESSES; i++) {
        struct block *block = &view->block[i];
        if (block->until_ns != 0 && now_ns >= block->until_ns) end(block);
    }
}

static int64_t sum(const struct view *view)
{
    int64_t in_use = 0;
    for (int i = 0; i < SEEN_PROCESSES; i++) in_use += view->block[i].in_use;
    return in_use;
}

static bool enters_well(
    struct view *view, const struct history_event *event, const struct bulkhead_terms_seen *terms)
{
    struct block *block = &view->block[event->process];
    view->spell_of[event->b] = block->until_ns != 0 ? block->spell : -1;
    if (block->until_ns == 0) return !block->lent; /* by its own limit */
    block->in_use += event->a;
    return event->at_ns < view->unsure_ns || sum(view) <= terms->limit;
}

static void forget_all(struct view *view, int64_t until_ns)
{
    for (int i = 0; i < SEEN_PROCESSES; i++) {
        view->block[i].in_use = 0;
        view->block[i].spell++;
    }
    view->unsure_ns = until_ns;
}

static bool look(
    struct view *view, const struct history_event *event, const struct bulkhead_terms_seen *terms)
{
    struct block *block = &view->block[event->process];
    end_what_is_over(view, event->at_ns);
    switch (event->kind) {
    case SEEN_STATE:
        if (event->object != SEEN_BULKHEAD) break;
        block->lent = event->a == WEIR_SHARE_SHARED || event->a == WEIR_SHARE_SLOW;
        break;
    case SEEN_LEASE:
        if (event->object != SEEN_BULKHEAD) break;
        if (event->a == 0) end(block);
        block->until_ns = event->a;
        break;
    case SEEN_ENTER: return enters_well(view, event, terms);
    case SEEN_LEAVE:
        if (view->spell_of[event->b] == block->spell) block->in_use -= event->a;
        break;
    case SEEN_GONE:
        end(block);
        block->lent = false;
        break;
    case SEEN_LOSS: forget_all(view, event->at_ns + terms->lease_ns); break;
    case SEEN_JUMP:
        if (event->a > 0) forget_all(view, event->at_ns + terms->lease_ns);
        break;
    default: break;
    }
    return true;
}

/* Those that were let in while the store was unsure count for nobody, once it is sure. */
static void become_sure(struct view *view, int64_t now_ns)
{
    if (view->unsure_ns == 0 || now_ns < view->unsure_ns) return;
    forget_all(view, 0);
}

const char *check_bulkhead(
    const struct history_event *events, size_t count, const struct bulkhead_terms_seen *terms, size_t *at)
{
    struct view view = { 0 };
    bool well = true;
    int64_t calls = 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind == SEEN_ENTER && events[i].b >= calls) calls = events[i].b + 1;
    }
    view.spell_of = calloc((size_t)calls + 1, sizeof *view.spell_of);
    if (view.spell_of == NULL) return "bulkhead: no memory to check it";
    for (*at = 0; well && *at < count; ++*at) {
        become_sure(&view, events[*at].at_ns);
        well = look(&view, &events[*at], terms);
    }
    free(view.spell_of);
    if (well) return NULL;
    --*at;
    return "bulkhead: more than the limit in use";
}
