/* The machine for a call that goes well: begin through the fast admit list, settle through the fast settle
 * list. Inlined into weir_call_begin/settle and into weir_run(): there is one machine. */
#ifndef WEIR_LIB_MACHINE_HOT_H
#define WEIR_LIB_MACHINE_HOT_H

#include "pipeline/machine.h"

/* The bytes from call->shard to call->ending, by one store of a word that was made in a register: later loads of
 * any of them are forwarded from it, and making it forwards from nothing smaller. */
static ALWAYS_INLINE void machine_set_bits(struct weir_call *call, uint32_t shard)
{
    const size_t first = offsetof(struct weir_call, shard), phase = offsetof(struct weir_call, phase) - first;
    _Static_assert(offsetof(struct weir_call, began_ns) - offsetof(struct weir_call, shard) == 8, "one word");
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t bits = shard | (uint64_t)PHASE_FAST << 8 * phase;
#else
    uint64_t bits = (uint64_t)shard << 48 | (uint64_t)PHASE_FAST << (56 - 8 * phase);
#endif
    __builtin_memcpy((char *)call + first, &bits, sizeof bits);
}

/* The deadline of the first attempt, all timeouts and reserves folded. */
static ALWAYS_INLINE uint64_t machine_first_deadline(const struct weir_pipeline *pipeline, uint32_t attention,
    const struct weir_context *context, uint64_t now_ns)
{
    uint64_t deadline_ns = WEIR_NEVER;
    if (context != NULL) {
        deadline_ns = context->deadline_ns;
        if (unlikely((attention & ATTENTION_RESERVE) != 0) && deadline_ns != WEIR_NEVER) {
            deadline_ns = time_since(deadline_ns, pipeline->reserve_ns);
        }
    }
    return time_min(deadline_ns, time_add(now_ns, pipeline->cap_ns));
}

/* A verdict that is PASS and asks for nothing more is all zeroes. */
static ALWAYS_INLINE bool verdict_is_plain(struct weir_verdict verdict)
{
    uint64_t head;
    __builtin_memcpy(&head, &verdict, sizeof head);
    return head == 0;
}

/* OK, and good to be made again if a policy turns it into a failure; by one test of the word that it travels in. */
static ALWAYS_INLINE bool outcome_is_plain(struct weir_outcome outcome)
{
    const struct weir_outcome look = { .status = UINT8_MAX, .flags = WEIR_NOT_REPEATABLE };
    uint32_t head, mask;
    _Static_assert(WEIR_OK == 0, "all bits are zero");
    __builtin_memcpy(&head, &outcome, sizeof head);
    __builtin_memcpy(&mask, &look, sizeof mask);
    return (head & mask) == 0;
}

/* OK with the operation's code, and nothing else of what it may have set; by whole words, as it travels. */
static ALWAYS_INLINE struct weir_outcome outcome_ok(struct weir_outcome outcome)
{
    return (struct weir_outcome) { .code = outcome.code, .retry_after_ns = outcome.retry_after_ns };
}

/* Asks the policies of a fast admit list. True: all let the call in. False: *step says what to do instead. */
static ALWAYS_INLINE bool machine_walk(struct weir_call *call, const struct admit_entry *entry,
    const struct admit_entry *const *end, uint64_t now_ns, struct weir_step *step)
{
    for (; entry < *end; entry++) {
        call->cursor = (uint8_t)entry->position;
        struct weir_verdict verdict =
            entry->admit(entry->config, entry->state, &call->slot[entry->position], call, now_ns);
        if (unlikely(!verdict_is_plain(verdict))) {
            *step = machine_stopped(call, (uint32_t)entry->position, verdict, now_ns);
            return false;
        }
    }
    return true;
}

/* True: run the first attempt. False: *step says what to do instead. */
static ALWAYS_INLINE bool machine_try_begin(struct weir_call *call, const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, uint64_t now_ns, struct weir_step *step)
{
    uint32_t shard = thread_shard();
    const struct weir_context *context = weir_thread.context;
    machine_set_bits(call, shard);
    call->pipeline = pipeline;
    call->began_ns = now_ns;
    call->attempt.pipeline =
        pipeline; /* there too, so that a copy of the attempt is good for a function of its own */
    call->attempt.number = 1;
    call->attempt.generation = process_generation();
    call->attempt.value = NULL;
    if (options != NULL) {
        if (options->context != NULL) context = options->context;
        machine_take_options(call, options);
    }
    call->attempt.context = context;
    line_add(&pipeline->line[shard].begun, 1, shard < SHARDS);
    /* The drain's other half: begun is stored before attention is loaded; see lib/runtime/drain.c. */
    __asm__ volatile("" ::: "memory");
    uint32_t attention = atomic_load_relaxed(&pipeline->attention);
    uint64_t deadline_ns = machine_first_deadline(pipeline, attention, context, now_ns);
    call->attempt.deadline_ns = deadline_ns;
    if (unlikely((attention & ATTENTION_RESULT) != 0)) call->attempt.value = call + 1;
    bool calm = (attention & ATTENTION_SLOW) == 0 && now_ns < deadline_ns &&
        (context == NULL || context_canceled(context) == 0);
    if (unlikely(!calm)) {
        if (!machine_begin_unusual(call, attention, now_ns, step)) return false;
    } else if (!machine_walk(call, pipeline->admit, &pipeline->admit_end, now_ns, step)) {
        return false;
    }
    deadline_ns = call->attempt.deadline_ns;
    if (unlikely(deadline_ns == WEIR_NEVER)) context_count_at(shard, CONTEXT_WITHOUT_DEADLINE);
    if (likely(now_ns < deadline_ns)) return true;
    *step = machine_too_late(call, now_ns); /* a fallback's reserve left nothing */
    return false;
}

/* What the hot half made of a settle. */
enum settled {
    SETTLED_NOT,    /* nothing was done: machine_settle_slow() has to look at it */
    SETTLED_WELL,   /* the call is over */
    SETTLED_TURNED, /* a policy wants something else: *step */
};

/* Ended OK, in time, by the fast lists, in the process that began it? */
static ALWAYS_INLINE enum settled machine_try_settle(struct weir_call *call,
    const struct weir_pipeline *pipeline, uint32_t attempt, struct weir_outcome outcome, uint64_t now_ns,
    bool timed, struct weir_step *step)
{
    uint32_t shard = thread_shard();
    bool well = call->phase == PHASE_FAST && outcome_is_plain(outcome) && attempt == 1 &&
        process_is(call->attempt.generation) && now_ns < call->attempt.deadline_ns;
    if (unlikely(!well)) return SETTLED_NOT;
    call->shard = (uint16_t)shard;
    call->outcome = outcome_ok(outcome);
    for (const struct settle_entry *entry = pipeline->settle; entry < pipeline->settle_end; entry++) {
        call->cursor = (uint8_t)entry->position;
        struct weir_verdict verdict = entry->settle(
            entry->config, entry->state, &call->slot[entry->position], call, &call->outcome, now_ns);
        if (unlikely(!verdict_is_plain(verdict))) {
            if (verdict.kind != WEIR_PASS) {
                if (!timed) call->flags |= CALL_UNTIMED;
                *step = machine_turned(call, (uint32_t)entry->position, verdict, now_ns);
                return SETTLED_TURNED;
            }
            machine_note(call, (uint32_t)entry->position, verdict, now_ns);
        }
    }
    bool solo = shard < SHARDS;
    struct pipeline_line *line = &pipeline->line[shard];
    if (unlikely(!solo)) { /* nobody there sees which call of a batch is his */
        if (pipeline->budgeted) machine_deposit(pipeline, 1, now_ns);
    } else if (unlikely(atomic_load_relaxed(&line->ok) % BUDGET_BATCH == BUDGET_BATCH - 1)) {
        if (pipeline->budgeted) machine_deposit(pipeline, BUDGET_BATCH, now_ns);
    }
    if (timed && now_ns > call->began_ns) { /* a clock that stood still has measured nothing */
        histogram_record(pipeline->latency, shard, solo, now_ns - call->began_ns);
    }
    if (unlikely((call->flags & CALL_VALUED) != 0)) {
        __builtin_memcpy(call->value, call->attempt.value, pipeline->result_size);
    }
    call->phase = PHASE_OVER;
    line_add_release(&line->ok, 1, solo); /* last: from here on the pipeline may be destroyed */
    return SETTLED_WELL;
}

#endif
