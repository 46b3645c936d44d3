/* The blocking driver: a call through a pipeline on this thread. */
#ifndef WEIR_RUN_H
#define WEIR_RUN_H

#include <weir/fallback.h>
#include <weir/pipeline.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs operation(argument, attempt) through the pipeline, zero or more times, on this thread; sleeps while
 * it queues or backs off, woken at once by a cancel. options may be NULL. The operation must honour
 * attempt->deadline_ns, and may call weir_run() again: a nested call is never queued at a bulkhead that this
 * thread already holds (REJECTED, reason NESTED). An operation must return: to leave it by
 * longjmp() or pthread_exit() is undefined.
 *
 *     static struct weir_outcome charge(void *card, const struct weir_attempt *attempt) {
 *         return weir_from_errno(bank_charge(card, weir_attempt_left_ms(attempt)));
 *     }
 *     struct weir_outcome outcome = weir_run(bank, NULL, charge, "4242"); */
WEIR_API struct weir_outcome weir_run(const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, weir_operation *operation, void *argument);

/* The same with the instant now given, used at both ends of each attempt: not timed. Given time does not pass
 * by itself: where the call would wait, it is at the end of that wait at once. For tests and measurements, and
 * where the instant is at hand and the pipeline neither queues nor backs off. */
WEIR_API struct weir_outcome weir_run_at(const struct weir_pipeline *pipeline,
    const struct weir_call_options *options, weir_operation *operation, void *argument, uint64_t now_ns);

/* Milliseconds left until attempt->deadline_ns, rounded up: 1..INT32_MAX, never 0 or negative, so that no
 * library takes it for "no timeout". Reads the pipeline's clock; a copy of the attempt will do. */
WEIR_API long weir_attempt_left_ms(const struct weir_attempt *attempt);

#ifdef __cplusplus
}
#endif
#endif
