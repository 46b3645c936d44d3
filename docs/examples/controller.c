/* The three-state controller: the operation while all is well, the light function while the breaker is open,
 * the last good answer when that fails too. Time is given, so that an outage takes no time. */
#include "expect.h"

#include <errno.h>
#include <weir/weir.h>

struct stock {
    uint32_t pieces;
};

struct warehouse {
    bool down, light_down;
    int asked, asked_light;
};

static struct weir_outcome count_pieces(void *argument, const struct weir_attempt *attempt)
{
    struct warehouse *warehouse = argument;
    struct stock *stock = attempt->value;
    warehouse->asked++;
    if (warehouse->down) return weir_from_errno(EIO);
    stock->pieces = 42;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome estimate_pieces(void *argument, const struct weir_attempt *attempt)
{
    struct warehouse *warehouse = argument;
    struct stock *stock = attempt->value;
    warehouse->asked_light++;
    if (warehouse->light_down) return weir_from_errno(EIO);
    stock->pieces = 40;
    return (struct weir_outcome) { .status = WEIR_OK };
}

int main(void)
{
    static const struct stock unknown = { 0 };
    struct weir_pipeline *controller;
    EXPECT(weir_controller_create(
               WEIR_CONFIG(weir_controller_config, .name = "stock", .light = estimate_pieces,
                   .result_size = sizeof(struct stock), .value = &unknown, .open_ns = 5 * WEIR_S),
               &controller) == WEIR_E_NONE);
    struct warehouse warehouse = { 0 };
    struct stock stock;
    const struct weir_call_options *options = WEIR_CONFIG(weir_call_options, .value = &stock);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);

    /* All is well. */
    struct weir_outcome outcome = weir_run_at(controller, options, count_pieces, &warehouse, now_ns);
    EXPECT(outcome.status == WEIR_OK && outcome.flags == 0 && stock.pieces == 42);

    /* An outage: the first failures are told as they are, then the breaker opens. */
    warehouse.down = true;
    for (int i = 0; i < 5; i++) {
        outcome = weir_run_at(controller, options, count_pieces, &warehouse, now_ns);
        EXPECT(outcome.status == WEIR_FAILED && outcome.code == EIO);
    }

    /* Degrade: the warehouse is left alone, the light function answers. */
    int asked = warehouse.asked;
    outcome = weir_run_at(controller, options, count_pieces, &warehouse, now_ns);
    EXPECT(outcome.status == WEIR_OK && (outcome.flags & WEIR_DEGRADED) != 0 && stock.pieces == 40);
    EXPECT(outcome.by == WEIR_CONTROLLER_LIGHT + 1 && outcome.reason == WEIR_REASON_BREAKER_OPEN);
    EXPECT(warehouse.asked == asked && warehouse.asked_light == 1);

    /* Fall back: the light function fails too, rests, and the last good answer stands in. */
    warehouse.light_down = true;
    for (int i = 0; i < 10; i++) {
        outcome = weir_run_at(controller, options, count_pieces, &warehouse, now_ns);
        EXPECT(outcome.by == WEIR_CONTROLLER_LAST_GOOD + 1 && stock.pieces == 42);
    }
    EXPECT(warehouse.asked_light == 2);

    /* Five seconds on: one probe finds the warehouse well again. */
    warehouse.down = false;
    now_ns += 5 * WEIR_S + WEIR_MS;
    outcome = weir_run_at(controller, options, count_pieces, &warehouse, now_ns);
    EXPECT(outcome.status == WEIR_OK && outcome.flags == 0 && stock.pieces == 42);
    weir_pipeline_destroy(controller);
    return 0;
}
