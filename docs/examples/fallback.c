/* Answer something else: a function, the last good answer, a value; and see what was hidden. */
#include "expect.h"

#include <errno.h>
#include <weir/weir.h>

struct price {
    uint32_t cents;
};

struct shop {
    bool down, cache_down;
    uint32_t cents, cached_cents;
};

/* Writes its result where the attempt says: a late answer can never reach the caller's memory. */
static struct weir_outcome ask_shop(void *argument, const struct weir_attempt *attempt)
{
    struct shop *shop = argument;
    struct price *price = attempt->value;
    if (shop->down) return weir_from_errno(EIO);
    price->cents = shop->cents;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome ask_cache(void *argument, const struct weir_attempt *attempt)
{
    struct shop *shop = argument;
    struct price *price = attempt->value;
    if (shop->cache_down) return weir_from_errno(ENOENT);
    price->cents = shop->cached_cents;
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_pipeline *create_pipeline(void)
{
    static const struct price list_price = { 999 };
    struct weir_policy *fallback;
    struct weir_pipeline *pipeline;
    const struct weir_fallback_config *config = WEIR_CONFIG(weir_fallback_config, .function = ask_cache,
        .last_good = true, .age_max_ns = 60 * WEIR_S, .value = &list_price, .value_size = sizeof list_price);
    EXPECT(weir_fallback_create(config, &fallback) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .result_size = sizeof(struct price)),
               &fallback, 1, &pipeline) == WEIR_E_NONE);
    weir_policy_release(fallback);
    return pipeline;
}

static struct weir_outcome ask(struct weir_pipeline *pipeline, struct shop *shop, struct price *price)
{
    return weir_run(pipeline, WEIR_CONFIG(weir_call_options, .value = price), ask_shop, shop);
}

int main(void)
{
    struct weir_pipeline *pipeline = create_pipeline();
    struct shop shop = { .cents = 500, .cached_cents = 510, .down = true, .cache_down = true };
    struct price price = { 0 };

    /* Nothing good has been seen yet: the value. */
    struct weir_outcome outcome = ask(pipeline, &shop, &price);
    EXPECT(outcome.status == WEIR_OK && price.cents == 999);
    EXPECT((outcome.flags & WEIR_DEGRADED) != 0 && outcome.code == EIO); /* what it hides stays visible */
    char text[160];
    puts(weir_outcome_text(text, sizeof text, pipeline, outcome));

    /* All is well: the shop's own price, which is kept. */
    shop.down = false;
    outcome = ask(pipeline, &shop, &price);
    EXPECT(outcome.status == WEIR_OK && outcome.flags == 0 && price.cents == 500);

    /* Down again: first the function, and if that fails too the last good answer. */
    shop.down = true;
    shop.cache_down = false;
    EXPECT(ask(pipeline, &shop, &price).status == WEIR_OK && price.cents == 510);
    shop.cache_down = true;
    EXPECT(ask(pipeline, &shop, &price).status == WEIR_OK && price.cents == 500);

    struct weir_fallback_stats stats = weir_fallback_stats(weir_pipeline_policy(pipeline, 0));
    EXPECT(stats.by_value == 1 && stats.by_function == 1 && stats.by_last_good == 1);
    EXPECT(stats.hidden[WEIR_FAILED] == 3 && stats.function_failed == 2);
    weir_pipeline_destroy(pipeline);
    return 0;
}
