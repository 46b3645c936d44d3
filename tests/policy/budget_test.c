#include "policy/hooks.h"

#include "base/arithmetic.h"
#include "policy/budget.h"

#include <weir/pipeline.h>

#include <stdio.h>

#define START (1000 * WEIR_S)

static struct weir_budget *create(const struct weir_budget_config *config)
{
    struct weir_budget *budget = NULL;
    CHECK_EQ(weir_budget_create(config, &budget), WEIR_E_NONE);
    return budget;
}

#define BUDGET(...) create(WEIR_CONFIG(weir_budget_config, __VA_ARGS__))

static uint64_t tokens(const struct weir_budget *budget, uint64_t now_ns)
{
    return weir_budget_stats(budget, now_ns).tokens;
}

static void charge_all(struct weir_budget *budget, uint64_t now_ns)
{
    while (budget_charge(budget, now_ns)) { }
    CHECK_EQ(tokens(budget, now_ns), 0);
}

TEST(budget, is_full_at_first_and_grows_by_the_floor)
{
    struct weir_budget *budget = create(NULL);
    CHECK_EQ(tokens(budget, START), 100);
    for (int i = 0; i < 100; i++) CHECK(budget_charge(budget, START));
    CHECK(!budget_charge(budget, START));
    CHECK(!budget_charge(budget, START + 100 * WEIR_MS - 1));
    CHECK(budget_charge(budget, START + 100 * WEIR_MS));
    CHECK_EQ(tokens(budget, START + WEIR_S), 9);
    CHECK_EQ(tokens(budget, START + 3600 * WEIR_S), 100);
    struct weir_budget_stats stats = weir_budget_stats(budget, START);
    CHECK_EQ(stats.capacity, 100);
    CHECK_EQ(stats.charged, 101);
    CHECK_EQ(stats.denied, 2);
    weir_budget_release(budget);
}

TEST(budget, grows_by_its_share_of_the_calls)
{
    struct weir_budget *budget = BUDGET(.percent = 25, .floor_per_s = 1);
    charge_all(budget, START);
    budget_deposit(budget, 3, START);
    CHECK(!budget_charge(budget, START));
    budget_deposit(budget, 1, START);
    CHECK(budget_charge(budget, START));
    CHECK(!budget_charge(budget, START));
    budget_deposit(budget, 16, START);
    CHECK_EQ(tokens(budget, START), 4);
    weir_budget_release(budget);
}

TEST(budget, nothing_is_saved_beyond_capacity)
{
    struct weir_budget *budget = BUDGET(.floor_per_s = 2);
    charge_all(budget, START);
    budget_deposit(budget, UINT64_MAX, START);
    budget_deposit(budget, 1000, START);
    CHECK_EQ(tokens(budget, START), 20);
    CHECK(budget_charge(budget, START));
    budget_refund(budget, START);
    budget_refund(budget, START);
    CHECK_EQ(tokens(budget, START), 20);
    weir_budget_release(budget);
}

TEST(budget, refund_puts_one_back)
{
    struct weir_budget *budget = BUDGET(.floor_per_s = 1);
    charge_all(budget, START);
    budget_refund(budget, START);
    CHECK_EQ(weir_budget_stats(budget, START).refunded, 1);
    CHECK(budget_charge(budget, START));
    CHECK(!budget_charge(budget, START));
    weir_budget_release(budget);
}

/* ---- against a model ---- */

/* In hundredths of a token times ns: exact, without the library's rounding up of the time of a token. */
struct model {
    __int128 level;
    uint64_t now_ns;
};
#define TOKEN ((__int128)100 * WEIR_S)

static void model_time(struct model *model, uint32_t floor_per_s, uint64_t now_ns)
{
    __int128 capacity = TOKEN * BUDGET_SAVED_S * floor_per_s;
    model->level += (__int128)(now_ns - model->now_ns) * floor_per_s * 100;
    if (model->level > capacity) model->level = capacity;
    model->now_ns = now_ns;
}

static void model_put(struct model *model, uint32_t floor_per_s, __int128 amount)
{
    model->level += amount;
    model_time(model, floor_per_s, model->now_ns);
}

/* It may deny what the model allows by a token's rounding only, and must never allow more. */
static void follow_model(uint64_t seed)
{
    uint64_t now_ns = START, first = seed;
    uint32_t percent = (uint32_t)random_up_to(&seed, 99) + 1,
             floor_per_s = (uint32_t)random_up_to(&seed, 40) + 1;
    struct weir_budget *budget = BUDGET(.percent = percent, .floor_per_s = floor_per_s);
    struct model model = { TOKEN * BUDGET_SAVED_S * floor_per_s, START };
    uint64_t charged = 0, refunded = 0;
    for (int step = 0; step < 3000; step++) {
        uint64_t calls = random_up_to(&seed, 20);
        if (random_up_to(&seed, 9) == 0) now_ns += random_up_to(&seed, WEIR_S);
        model_time(&model, floor_per_s, now_ns);
        switch (random_up_to(&seed, 3)) {
        case 0:
            budget_deposit(budget, calls, now_ns);
            model_put(&model, floor_per_s, TOKEN / 100 * calls * percent);
            break;
        case 1:
            if (refunded == charged) break;
            refunded++;
            budget_refund(budget, now_ns);
            model_put(&model, floor_per_s, TOKEN);
            break;
        default: {
            bool allowed = budget_charge(budget, now_ns);
            bool wrong = allowed ? model.level < TOKEN : model.level > TOKEN + TOKEN / 1000;
            if (wrong)
                printf("seed %ju, step %d: level %jd\n", (uintmax_t)first, step, (intmax_t)model.level);
            CHECK(!wrong);
            if (allowed) charged++, model.level -= TOKEN;
        }
        }
    }
    CHECK(charged > 100);
    weir_budget_release(budget);
}

TEST(budget, follows_a_model)
{
    for (uint64_t seed = 1; seed <= 100; seed++) follow_model(seed);
}

/* Two retries of a pipeline that share a budget: a call is one call. */
TEST(budget, hears_of_a_call_once)
{
    struct weir_budget *budget = BUDGET(.percent = 100, .floor_per_s = 1);
    struct weir_policy *order[2];
    struct weir_pipeline *pipeline;
    struct weir_call call;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .budget = budget), &order[i]), WEIR_E_NONE);
    }
    CHECK_EQ(weir_pipeline_create(NULL, order, 2, &pipeline), WEIR_E_NONE);
    charge_all(budget, START);
    for (int i = 0; i < 4; i++) { /* they are reported one by one if they fail */
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
        struct weir_outcome failed = { .status = WEIR_FAILED };
        CHECK_EQ(weir_call_settle(&call, 1, failed, START).action, WEIR_DONE);
    }
    CHECK_EQ(tokens(budget, START), 4);
    weir_pipeline_destroy(pipeline);
    for (int i = 0; i < 2; i++) weir_policy_release(order[i]);
    weir_budget_release(budget);
}

/* On the line of many threads nobody knows which call is the last of a batch: there each is reported. */
TEST(budget, hears_of_every_call_on_the_shared_line)
{
    struct weir_budget *budget = BUDGET(.percent = 10, .floor_per_s = 10);
    struct weir_policy *retry;
    struct weir_pipeline *pipeline;
    struct weir_call call;
    uint32_t own = weir_thread.shard;
    CHECK_EQ(weir_retry_create(WEIR_CONFIG(weir_retry_config, .budget = budget), &retry), WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, &retry, 1, &pipeline), WEIR_E_NONE);
    charge_all(budget, START);
    weir_thread.shard = SHARDS + 1;
    for (int i = 0; i < 25; i++) {
        struct weir_outcome ok = { .status = WEIR_OK };
        CHECK_EQ(weir_call_begin(&call, pipeline, NULL, START).action, WEIR_RUN);
        CHECK_EQ(weir_call_settle(&call, 1, ok, START).action, WEIR_DONE);
        CHECK_EQ(tokens(budget, START), (i + 1) / 10);
    }
    weir_thread.shard = own;
    weir_pipeline_destroy(pipeline);
    weir_policy_release(retry);
    weir_budget_release(budget);
}

/* ---- config ---- */

TEST(budget, bad_configs_are_refused)
{
    struct weir_budget *budget = NULL;
#define REFUSED(field, text, ...) \
    CHECK_REFUSED(weir_budget_create(WEIR_CONFIG(weir_budget_config, __VA_ARGS__), &budget), field, text)
    REFUSED("weir_budget_config.percent is 101", "expected 1..100", .percent = 101);
    REFUSED("floor_per_s is 1000001", "expected 1..1000000", .floor_per_s = 1000001);
    REFUSED("floor_per_s is 4294967295", "expected 1..1000000", .floor_per_s = WEIR_OFF32);
    REFUSED("name is too long", "expected 1..63 bytes",
        .name = "a name that goes on and on until no field of a log line would hold it any more");
    struct weir_budget_config unknown = { .size = 0 };
    CHECK_EQ(weir_budget_create(&unknown, &budget), WEIR_E_SIZE);
    CHECK_ABORTS((void)!weir_budget_create(NULL, NULL), "weir_budget_create: budget is NULL");
    CHECK_ABORTS(weir_budget_stats(NULL, 0), "weir_budget_stats: budget is NULL");
    weir_budget_release(NULL);
}
