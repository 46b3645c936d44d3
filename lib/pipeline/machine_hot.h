/* The machine for a call that goes well: begin through the fast admit list, settle through the fast settle
 * list. Inlined into weir_call_begin/settle and into weir_run(): there is one machine. */
#ifndef WEIR_LIB_MACHINE_HOT_H
#define WEIR_LIB_MACHINE_HOT_H

#include "pipeline/machine.h"

/* The deadline of the first attempt, all timeouts and reserves folded. */
static ALWAYS_INLINE uint64_t machine_first_deadline(
    const struct weir_pipeline *pipeline, uint64_t deadline_ns, uint64_t now_ns)
{
    if (deadline_ns != WEIR_NEVER) deadline_ns = time_since(deadline_ns, pipeline->reserve_ns);
    return time_min(deadline_ns, time_add(now_ns, pipeline->cap_ns));
}

/* The bytes from call->shard to call->held, by one store: later loads of any of them are forwarded from it. */
static ALWAYS_INLINE void machine_set_bits(struct weir_call *call, uint32_t shard, bool solo)
{
    struct {
        uint16_t shard;
        uint8_t solo, phase, flags, deadline_by, cursor, held;
    } bits = { .shard = (uint16_t)shard, .solo = solo, .phase = PHASE_FAST };
    _Static_assert(sizeof bits == 8, "one word");
    _Static_assert(
        offsetof(struct weir_call, held) - offsetof(struct weir_call, shard) == 7, "the same fields");
    __builtin_memcpy((char *)call + offsetof(struct weir_call, shard), &bits, sizeof bits);
}

/* A verdict that is PASS and asks for nothing more is all zeroes. */
static ALWAYS_INLINE bool verdict_is_plain(struct weir_verdict verdict)
{
    uint64_t head;
    __builtin_memcpy(&head, &verdict, sizeof head);
    return head == 0;
}

static ALWAYS_INLINE struct weir_step machine_begin(struct weir_call *call,
    const struct weir_pipeline *pipeline, const struct weir_call_options *options, uint64_t now_ns)
{
    uint32_t shard = thread_shard();
    bool solo = shard < SHARDS;
    const struct weir_context *context = weir_thread.context;
    machine_set_bits(call, shard, solo);
    call->pipeline = pipeline;
    call->began_ns = now_ns;
    call->attempt.number = 1;
    call->attempt.generation = process_generation();
    call->attempt.value = NULL;
    if (options != NULL) {
        if (options->context != NULL) context = options->context;
        machine_take_options(call, options);
    }
    call->attempt.context = context;
    if (unlikely(pipeline->result_size != 0)) call->attempt.value = call + 1;
    line_add(&pipeline->line[shard].begun, 1, solo);
    /* The drain's other half: begun is stored before attention is loaded; see lib/runtime/drain.c. */
    __asm__ volatile("" ::: "memory");
    if (unlikely(atomic_load_relaxed(&pipeline->attention) != 0)) return machine_begin_slow(call, now_ns);
    uint64_t deadline_ns = context == NULL ? WEIR_NEVER : context->deadline_ns;
    if (likely(pipeline->folded)) deadline_ns = machine_first_deadline(pipeline, deadline_ns, now_ns);
    call->attempt.deadline_ns = deadline_ns;
    if (context != NULL) {
        if (unlikely(context_canceled(context) != 0)) return machine_begin_slow(call, now_ns);
    }
    if (unlikely(now_ns >= deadline_ns)) return machine_begin_slow(call, now_ns);
    const struct admit_entry *end = pipeline->admit + pipeline->admits;
    for (const struct admit_entry *entry = pipeline->admit; entry < end; entry++) {
        call->cursor = (uint8_t)entry->position;
        struct weir_verdict verdict =
            entry->admit(entry->config, entry->state, &call->slot[entry->position], call, now_ns);
        if (unlikely(!verdict_is_plain(verdict))) {
            return machine_stopped(call, (uint32_t)entry->position, verdict, now_ns);
        }
    }
    deadline_ns = call->attempt.deadline_ns;
    if (unlikely(deadline_ns == WEIR_NEVER)) context_count(CONTEXT_WITHOUT_DEADLINE);
    return (struct weir_step) { .action = WEIR_RUN, .attempt = 1, .at_ns = deadline_ns };
}

/* Ended OK, in time, by the fast lists, in the process that began it. */
static ALWAYS_INLINE struct weir_step machine_settle(
    struct weir_call *call, uint32_t attempt, struct weir_outcome outcome, uint64_t now_ns, bool timed)
{
    const struct weir_pipeline *pipeline = call->pipeline;
    bool well = call->phase == PHASE_FAST;
    well &= outcome.status == WEIR_OK;
    well &= attempt == 1;
    well &= call->attempt.generation == process_generation();
    well &= now_ns < call->attempt.deadline_ns;
    if (unlikely(!well)) return machine_settle_slow(call, attempt, outcome, now_ns);
    outcome.by = 0;
    outcome.flags = 0;
    outcome.reason = WEIR_REASON_NONE;
    const struct settle_entry *end = pipeline->settle + pipeline->settles;
    for (const struct settle_entry *entry = pipeline->settle; entry < end; entry++) {
        struct weir_verdict verdict =
            entry->settle(entry->config, entry->state, &call->slot[entry->position], call, &outcome, now_ns);
        if (unlikely(!verdict_is_plain(verdict)))
            machine_note(call, (uint32_t)entry->position, verdict, now_ns);
    }
    struct pipeline_line *line = &pipeline->line[call->shard];
    uint64_t ok = atomic_load_relaxed(&line->ok) + 1;
    line_add(&line->ok, 1, call->solo);
    if (pipeline->budgeted) {
        if (unlikely(ok % 16 == 0)) machine_deposit(pipeline, 16, now_ns);
    }
    if (timed && now_ns > call->began_ns) { /* a clock that stood still has measured nothing */
        histogram_record(pipeline->latency, call->shard, call->solo, now_ns - call->began_ns);
    }
    if (unlikely((call->flags & CALL_VALUED) != 0)) {
        __builtin_memcpy(call->value, call->attempt.value, pipeline->result_size);
    }
    call->outcome = outcome;
    call->phase = PHASE_OVER;
    return (struct weir_step) { .action = WEIR_DONE };
}

#endif
