/* The machine's slow paths, for its hot half (machine_hot.h) and for the driver. machine.c has the states. */
#ifndef WEIR_LIB_MACHINE_H
#define WEIR_LIB_MACHINE_H

#include "base/arithmetic.h"
#include "pipeline/pipeline.h"

enum call_phase {
    PHASE_NONE,
    PHASE_FAST,        /* the first attempt runs, admitted by the fast lists */
    PHASE_RUNNING,     /* an attempt runs */
    PHASE_HOLDING,     /* call->held - 1 holds it */
    PHASE_BACKING_OFF, /* waits for wake_ns to try again */
    PHASE_AWAITING,    /* would try again, but abandoned work still runs */
    PHASE_FALLING,     /* a fallback function runs, for call->falling - 1 */
    PHASE_KEEPING,     /* nothing runs: the innermost policy that is owed a settle keeps what it came with */
    PHASE_OVER,
};

/* From the hot half: the fast list met a verdict other than PASS; the attempt did not end OK and in
 * time. */
struct weir_step machine_stopped(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns);
/* Admitted by every policy, but the last of them left no time. */
struct weir_step machine_too_late(struct weir_call *call, uint64_t now_ns);
/* A policy of the fast settle list did not hand the OK outcome on as it was. */
struct weir_step machine_turned(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns);
/* What a begin must look at is there. True: a policy is switched on, and none wants anything of the call. */
bool machine_begin_unusual(
    struct weir_call *call, uint32_t attention, uint64_t now_ns, struct weir_step *step);
struct weir_step machine_settle_slow(
    struct weir_call *call, uint32_t attempt, struct weir_outcome outcome, uint64_t now_ns);
void machine_take_options(struct weir_call *call, const struct weir_call_options *options);
void machine_deposit(const struct weir_pipeline *pipeline, uint64_t calls, uint64_t now_ns);

/* unwind.c: hands call->outcome outwards from the innermost policy that is owed a settle. */
struct weir_step machine_unwind(struct weir_call *call, uint64_t now_ns);
/* The same after the policy at that position was settled with that answer. */
struct weir_step machine_unwind_from(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns);
/* admission.c: asks inwards every policy that has not let the call in yet, then starts the attempt. */
struct weir_step machine_admit(struct weir_call *call, uint64_t now_ns);
struct weir_step machine_refused(
    struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns);
/* The policy at that position, which is owed its settle, makes the outcome of an attempt that nobody runs. */
struct weir_step machine_skip(struct weir_call *call, uint32_t position, uint64_t now_ns);

/* What both directions share. */
struct weir_verdict machine_settle_one(
    struct weir_call *call, uint32_t position, struct weir_outcome *outcome, uint64_t now_ns);
void machine_take_answer(const struct weir_call *call, struct weir_outcome *outcome);
void machine_note(struct weir_call *call, uint32_t position, struct weir_verdict answer, uint64_t now_ns);
void machine_tell(const struct weir_call *call, uint32_t position_plus_one, enum weir_event_kind kind,
    const struct weir_outcome *outcome, uint64_t now_ns);
void machine_let_go(struct weir_call *call);
void machine_set_ended(struct weir_call *call, enum weir_status status);

/* A call has room for three results: what was abandoned may still write to its own. */
enum result_row { ROW_OPERATION, ROW_FUNCTION, ROW_STORED, ROWS };

static inline void call_use_row(struct weir_call *call, enum result_row row)
{
    size_t size = call->pipeline->result_size;
    if (size != 0) call->attempt.value = (char *)(call + 1) + row * size;
}

static inline uint64_t call_base_deadline(const struct weir_call *call)
{
    return call->attempt.context == NULL ? WEIR_NEVER : call->attempt.context->deadline_ns;
}

static inline struct weir_step machine_step(
    const struct weir_call *call, enum weir_action action, uint64_t at_ns)
{
    return (struct weir_step) {
        .action = (uint8_t)action,
        .attempt = call->phase == PHASE_FALLING ? 0 : (uint8_t)call->attempt.number,
        .pending = (uint8_t)__builtin_popcount(call->pending),
        .abandon_mask = call->pending,
        .at_ns = at_ns,
    };
}

#endif
