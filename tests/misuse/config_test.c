/* Configs that must be refused: every field of every config struct out of its range, contradictions, unknown
 * sizes. The error's text must name the field, the value and what was expected. */
#include "support/test.h"

#include <weir/weir.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- one way to create each kind; what was created is dropped again ---- */

#define TRY_POLICY(kind)                                               \
    static enum weir_error try_##kind(const void *config)              \
    {                                                                  \
        struct weir_policy *policy = NULL;                             \
        enum weir_error error = weir_##kind##_create(config, &policy); \
        CHECK_EQ(policy != NULL, error == WEIR_E_NONE);                \
        weir_policy_release(policy);                                   \
        return error;                                                  \
    }
TRY_POLICY(breaker)
TRY_POLICY(bulkhead)
TRY_POLICY(rate)
TRY_POLICY(timeout)
TRY_POLICY(retry)
TRY_POLICY(fallback)
TRY_POLICY(gate)
TRY_POLICY(chaos)

static enum weir_error try_budget(const void *config)
{
    struct weir_budget *budget = NULL;
    enum weir_error error = weir_budget_create(config, &budget);
    CHECK_EQ(budget != NULL, error == WEIR_E_NONE);
    weir_budget_release(budget);
    return error;
}

static enum weir_error try_pipeline(const void *config)
{
    struct weir_pipeline *pipeline = NULL;
    enum weir_error error = weir_pipeline_create(config, NULL, 0, &pipeline);
    CHECK_EQ(pipeline != NULL, error == WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
    return error;
}

static enum weir_error try_standard(const void *config)
{
    struct weir_pipeline *pipeline = NULL;
    enum weir_error error = weir_pipeline_standard(config, &pipeline);
    CHECK_EQ(pipeline != NULL, error == WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
    return error;
}

static enum weir_error try_controller(const void *config)
{
    struct weir_pipeline *pipeline = NULL;
    enum weir_error error = weir_controller_create(config, &pipeline);
    CHECK_EQ(pipeline != NULL, error == WEIR_E_NONE);
    weir_pipeline_destroy(pipeline);
    return error;
}

/* ---- the catalogue ---- */

#define S WEIR_S
#define HOUR (3600 * S)
#define DAY (24 * HOUR)

struct entry {
    const char *type, *field;
    enum weir_error (*try)(const void *config);
    size_t config_size, offset, width;
    uint64_t value;
    const char *expected;             /* part of the text, after the field and its value */
    size_t other_offset, other_width; /* a second field, for contradictions; width 0: none */
    uint64_t other_value;
};

#define WIDTH(type, field) sizeof(((struct type *)0)->field)
#define BAD(kind, field_, value_, expected_)                                                            \
    {                                                                                                   \
        "weir_" #kind "_config", #field_, try_##kind, sizeof(struct weir_##kind##_config),              \
            offsetof(struct weir_##kind##_config, field_), WIDTH(weir_##kind##_config, field_), value_, \
            expected_, 0, 0, 0                                                                          \
    }
#define CLASH(kind, field_, value_, expected_, other_, other_value_)                                       \
    {                                                                                                      \
        "weir_" #kind "_config", #field_, try_##kind, sizeof(struct weir_##kind##_config),                 \
            offsetof(struct weir_##kind##_config, field_), WIDTH(weir_##kind##_config, field_), value_,    \
            expected_, offsetof(struct weir_##kind##_config, other_), WIDTH(weir_##kind##_config, other_), \
            other_value_                                                                                   \
    }

static const struct entry bad[] = {
    BAD(breaker, window_ns, 16 * WEIR_MS - 1, "16000000..3600000000000"),
    BAD(breaker, window_ns, HOUR + 1, "16000000..3600000000000"),
    BAD(breaker, window_ns, WEIR_OFF, "16000000..3600000000000"),
    BAD(breaker, calls_min, (1u << 20) + 1, "1..1048576"),
    BAD(breaker, calls_min, WEIR_OFF32, "1..1048576"),
    BAD(breaker, failure_percent, 100, "1..99"),
    BAD(breaker, failure_percent, WEIR_OFF32, "1..99"),
    BAD(breaker, z_tenths, 101, "1..100"),
    BAD(breaker, z_tenths, WEIR_OFF32 - 1, "1..100"),
    BAD(breaker, plain_percent, 101, "1..100"),
    BAD(breaker, consecutive, 256, "1..255"),
    BAD(breaker, slow_ns, 999, "1000..3600000000000"),
    BAD(breaker, slow_ns, HOUR + 1, "1000..3600000000000"),
    BAD(breaker, slow_percent, 101, "1..100"),
    BAD(breaker, jitter_percent, 91, "1..90"),
    BAD(breaker, open_ns, WEIR_MS - 1, "1000000..3600000000000"),
    BAD(breaker, open_ns, HOUR + 1, "1000000..3600000000000"),
    BAD(breaker, open_ns, WEIR_OFF, "1000000..3600000000000"),
    BAD(breaker, open_max_ns, S - 1, "1000000000..86400000000000"),
    BAD(breaker, open_max_ns, DAY + 1, "1000000000..86400000000000"),
    CLASH(breaker, open_max_ns, 4 * S, "5000000000..", open_ns, 5 * S),
    BAD(breaker, probes, 256, "1..255"),
    BAD(breaker, probes, WEIR_OFF32, "1..255"),
    BAD(breaker, successes, 4, "1..3"),
    CLASH(breaker, successes, 3, "1..2", probes, 2),
    BAD(breaker, probe_ns, WEIR_MS - 1, "1000000..3600000000000"),
    BAD(breaker, probe_ns, WEIR_OFF, "1000000..3600000000000"),
    BAD(breaker, ramp_ns, WEIR_MS - 1, "1000000..3600000000000"),
    BAD(breaker, ramp_ns, HOUR + 1, "1000000..3600000000000"),
    BAD(breaker, late_failure_ns, HOUR + 1, "1..3600000000000"),
    BAD(breaker, overload_open_ns_max, DAY + 1, "1..86400000000000"),
    BAD(breaker, timing, 5, "weir_timing"),
    BAD(breaker, timing, UINT32_MAX, "weir_timing"),
    BAD(bulkhead, limit, 1000001, "1..1000000"),
    BAD(bulkhead, limit, WEIR_OFF32, "1..1000000"),
    BAD(bulkhead, queue, 4096, "1..4095"),
    BAD(bulkhead, queue, WEIR_OFF32, "1..4095"),
    BAD(bulkhead, wait_max_ns, DAY + 1, "1..86400000000000"),
    BAD(bulkhead, wait_max_ns, WEIR_OFF, "1..86400000000000"),
    BAD(bulkhead, form, 3, "weir_form"),
    BAD(rate, permits, 1000000001, "1..1000000000"),
    BAD(rate, permits, UINT64_MAX, "1..1000000000"),
    CLASH(rate, permits, 4001, "1..4000", period_ns, WEIR_US),
    BAD(rate, period_ns, 999, "1000..86400000000000"),
    BAD(rate, period_ns, DAY + 1, "1000..86400000000000"),
    BAD(rate, burst, UINT64_MAX, "1.."),
    CLASH(rate, burst, UINT32_MAX, "1..", permits, 1),
    BAD(rate, wait_max_ns, DAY + 1, "1..86400000000000"),
    BAD(rate, form, 3, "weir_form"),
    BAD(rate, lease, 101, "1..100"),
    CLASH(rate, lease, 1, "WEIR_FORM_SINGLE", form, WEIR_FORM_SINGLE),
    CLASH(rate, lease, 6, "1..5", burst, 5),
    BAD(rate, timing, 5, "weir_timing"),
    BAD(timeout, timeout_ns, 999, "1000..86400000000000"),
    BAD(timeout, timeout_ns, DAY + 1, "1000..86400000000000"),
    BAD(timeout, timeout_ns, WEIR_OFF, "1000..86400000000000"),
    BAD(retry, attempts, 101, "1..100"),
    BAD(retry, attempts, WEIR_OFF32, "1..100"),
    BAD(retry, backoff, 4, "weir_backoff"),
    BAD(retry, base_ns, 999, "1000..3600000000000"),
    BAD(retry, base_ns, HOUR + 1, "1000..3600000000000"),
    BAD(retry, max_ns, 49 * WEIR_MS, "50000000..86400000000000"),
    BAD(retry, max_ns, DAY + 1, "50000000..86400000000000"),
    CLASH(retry, max_ns, 1 * S, "2000000000..", base_ns, 2 * S),
    BAD(retry, on, WEIR_ON(WEIR_OK), "WEIR_ON()"),
    BAD(retry, on, WEIR_ON(WEIR_CANCELED), "WEIR_ON()"),
    BAD(retry, on, WEIR_ON(WEIR_IGNORED), "WEIR_ON()"),
    BAD(retry, on, UINT32_MAX, "WEIR_ON()"),
    BAD(budget, percent, 101, "1..100"),
    BAD(budget, floor_per_s, 1000001, "1..1000000"),
    BAD(fallback, value_size, WEIR_RESULT_MAX + 1, "0..4096"),
    BAD(fallback, age_max_ns, 365 * DAY + 1, "1000..31536000000000000"),
    BAD(fallback, age_max_ns, 999, "1000..31536000000000000"),
    BAD(fallback, reserve_ns, S, "0 without a function"),
    BAD(fallback, reserve_ns, DAY + 1, "1000..86400000000000"),
    BAD(fallback, on, WEIR_ON(WEIR_OK), "WEIR_ON()"),
    BAD(fallback, on, WEIR_ON(WEIR_CANCELED), "WEIR_ON()"),
    BAD(gate, share, 1000001, "1..1000000"),
    BAD(gate, share, WEIR_OFF32 - 1, "1..1000000"),
    BAD(gate, by, 2, "weir_gate_by"),
    BAD(gate, by, UINT32_MAX, "weir_gate_by"),
    CLASH(chaos, duration_ns, WEIR_MS - 1, "1000000..2592000000000000", error_ppm, 1),
    CLASH(chaos, duration_ns, WEIR_OFF, "1000000..2592000000000000", error_ppm, 1),
    CLASH(chaos, latency_min_ns, 999, "1000..3600000000000", error_ppm, 1),
    CLASH(chaos, latency_min_ns, HOUR + 1, "1000..3600000000000", error_ppm, 1),
    CLASH(chaos, latency_max_ns, HOUR + 1, "10000000..3600000000000", error_ppm, 1),
    CLASH(chaos, lost_max_ns, WEIR_MS - 1, "1000000..86400000000000", error_ppm, 1),
    CLASH(chaos, lost_max_ns, DAY + 1, "1000000..86400000000000", error_ppm, 1),
    CLASH(chaos, result_retry_after_ns, DAY + 1, "1..86400000000000", error_ppm, 1),
    CLASH(chaos, held_max, 1000001, "1..1000000", error_ppm, 1),
    CLASH(chaos, result_status, WEIR_CANCELED, "WEIR_FAILED", error_ppm, 1),
    CLASH(chaos, burst_ns, WEIR_MS - 1, "1000000..86400000000000", error_ppm, 1),
    BAD(pipeline, timing, 5, "weir_timing"),
    BAD(pipeline, result_size, WEIR_RESULT_MAX + 1, "0..4096"),
    BAD(standard, deadline_ns, 999, "1000..86400000000000"),
    BAD(standard, deadline_ns, WEIR_OFF, "1000..86400000000000"),
    BAD(standard, attempt_ns, S + 1, "1000..1000000000"),
    CLASH(standard, attempt_ns, 2 * S, "..1500000000", deadline_ns, 3 * S / 2),
    BAD(standard, attempts, 101, "1..100"),
    BAD(standard, concurrency, 1000001, "1..1000000"),
    BAD(standard, queue, 4096, "1..4095"),
    BAD(standard, timing, 5, "weir_timing"),
    BAD(standard, result_size, WEIR_RESULT_MAX + 1, "..4096"),
    BAD(controller, percent, 101, "1..100"),
    BAD(controller, window_ns, 16 * WEIR_MS - 1, "16000000..3600000000000"),
    BAD(controller, calls_min, (1u << 20) + 1, "1..1048576"),
    BAD(controller, consecutive, 256, "1..255"),
    BAD(controller, open_ns, WEIR_MS - 1, "1000000..3600000000000"),
    BAD(controller, probes, 256, "1..255"),
    BAD(controller, result_size, WEIR_RESULT_MAX + 1, "..4096"),
    BAD(controller, age_max_ns, 999, "1000..31536000000000000"),
    BAD(controller, timing, 5, "weir_timing"),
};
#define BADS (sizeof bad / sizeof bad[0])

static void put(unsigned char *config, size_t offset, size_t width, uint64_t value)
{
    memcpy(config + offset, &value, width); /* little-endian, as all that weir runs on */
}

static void complain(const struct entry *entry, const char *what)
{
    fprintf(stderr, "%s.%s = %llu: %s; the text is \"%s\"\n", entry->type, entry->field,
        (unsigned long long)entry->value, what, weir_error_text());
    CHECK(!"a bad config is refused by name");
}

static void check_entry(const struct entry *entry)
{
    _Alignas(16) unsigned char config[512] = { 0 };
    char field[128], number[32], hexadecimal[32];
    put(config, 0, sizeof(uint32_t), entry->config_size);
    put(config, entry->offset, entry->width, entry->value);
    if (entry->other_width != 0) put(config, entry->other_offset, entry->other_width, entry->other_value);
    if (entry->try(config) != WEIR_E_INVALID) complain(entry, "not refused as INVALID");
    const char *text = weir_error_text();
    snprintf(field, sizeof field, "%s.%s", entry->type, entry->field);
    snprintf(number, sizeof number, " is %llu", (unsigned long long)entry->value);
    snprintf(hexadecimal, sizeof hexadecimal, " is 0x%llx", (unsigned long long)entry->value);
    if (strstr(text, field) == NULL) complain(entry, "the field is not named");
    if (strstr(text, number) == NULL && strstr(text, hexadecimal) == NULL) complain(entry, "nor the value");
    const char *expected = strstr(text, "expected ");
    if (expected == NULL || strstr(expected, entry->expected) == NULL)
        complain(entry, "nor what was expected");
}

TEST(config, every_field_out_of_range_is_refused_by_name)
{
    for (size_t i = 0; i < BADS; i++) check_entry(&bad[i]);
}

TEST(config, the_boundaries_themselves_are_accepted)
{
    CHECK_EQ(
        try_breaker(WEIR_CONFIG(weir_breaker_config, .window_ns = 16 * WEIR_MS, .calls_min = 1,
            .failure_percent = 99, .z_tenths = 100, .plain_percent = 100, .consecutive = 255,
            .slow_ns = WEIR_US, .slow_percent = 100, .jitter_percent = 90, .open_ns = WEIR_MS,
            .open_max_ns = WEIR_MS, .probes = 255, .successes = 255, .probe_ns = WEIR_MS, .ramp_ns = WEIR_MS,
            .late_failure_ns = HOUR, .overload_open_ns_max = DAY, .timing = WEIR_TIMING_FAST)),
        WEIR_E_NONE);
    CHECK_EQ(try_bulkhead(WEIR_CONFIG(weir_bulkhead_config, .limit = 1000000, .queue = 4095,
                 .wait_max_ns = DAY, .form = WEIR_FORM_SHARDED)),
        WEIR_E_NONE);
    CHECK_EQ(try_rate(WEIR_CONFIG(weir_rate_config, .permits = 1000000000, .period_ns = S, .burst = 1)), 0);
    CHECK_EQ(try_rate(WEIR_CONFIG(weir_rate_config, .permits = 1, .period_ns = DAY, .wait_max_ns = DAY)), 0);
    CHECK_EQ(try_timeout(WEIR_CONFIG(weir_timeout_config, .timeout_ns = DAY)), WEIR_E_NONE);
    CHECK_EQ(try_retry(WEIR_CONFIG(weir_retry_config, .attempts = 100, .base_ns = HOUR, .max_ns = DAY,
                 .on = WEIR_ON(WEIR_REJECTED))),
        WEIR_E_NONE);
    CHECK_EQ(try_gate(WEIR_CONFIG(weir_gate_config, .share = 1, .by = WEIR_GATE_BY_KEY)), WEIR_E_NONE);
    CHECK_EQ(try_gate(WEIR_CONFIG(weir_gate_config, .share = 1000000, .salt = UINT64_MAX)), WEIR_E_NONE);
    CHECK_EQ(try_gate(WEIR_CONFIG(weir_gate_config, .share = WEIR_OFF32)), WEIR_E_NONE);
    CHECK_EQ(
        try_budget(WEIR_CONFIG(weir_budget_config, .percent = 100, .floor_per_s = 1000000)), WEIR_E_NONE);
    CHECK_EQ(try_pipeline(WEIR_CONFIG(weir_pipeline_config, .result_size = WEIR_RESULT_MAX)), WEIR_E_NONE);
}

TEST(config, a_breaker_without_any_trigger_is_refused)
{
    CHECK_EQ(try_breaker(WEIR_CONFIG(weir_breaker_config, .z_tenths = WEIR_OFF32, .consecutive = WEIR_OFF32)),
        WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "every trigger is off") != NULL);
    CHECK(strstr(weir_error_text(), "z_tenths") != NULL);
    CHECK_EQ(try_breaker(WEIR_CONFIG(weir_breaker_config, .z_tenths = WEIR_OFF32, .consecutive = WEIR_OFF32,
                 .overload_open_ns_max = S)),
        WEIR_E_NONE);
}

TEST(config, a_fallback_value_without_a_size_is_refused)
{
    CHECK_EQ(try_fallback(WEIR_CONFIG(weir_fallback_config, .value = "x")), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "weir_fallback_config.value_size is 0") != NULL);
    CHECK_EQ(try_controller(WEIR_CONFIG(weir_controller_config, .value = "x")), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "weir_controller_config.result_size is 0") != NULL);
}

#define TRY_CHAOS(...) try_chaos(WEIR_CONFIG(weir_chaos_config, __VA_ARGS__))

TEST(config, the_rates_of_a_chaos_are_checked_together)
{
    CHECK_EQ(TRY_CHAOS(.seed = 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(),
        "weir_chaos_config: every rate is 0 (latency_ppm, error_ppm, result_ppm, lost_ppm), expected at "
        "least "
        "one");
    CHECK_EQ(TRY_CHAOS(.latency_ppm = 1000000, .lost_ppm = 1), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(),
        "weir_chaos_config.latency_ppm, error_ppm, result_ppm and lost_ppm are 1000001 together (1000000, 0, "
        "0, "
        "1), expected 1..1000000");
    CHECK_EQ(TRY_CHAOS(.latency_ppm = UINT32_MAX, .error_ppm = 2), WEIR_E_INVALID); /* nothing wraps */
    CHECK_EQ(TRY_CHAOS(.latency_ppm = 999999, .lost_ppm = 1), WEIR_E_NONE);
    CHECK_EQ(try_chaos(NULL), WEIR_E_INVALID);
    struct weir_chaos_config config = { .size = 3, .error_ppm = 1 };
    CHECK_EQ(try_chaos(&config), WEIR_E_SIZE);
}

TEST(config, the_latencies_of_a_chaos_follow_one_another)
{
    CHECK_EQ(TRY_CHAOS(.latency_ppm = 1, .latency_max_ns = WEIR_MS), WEIR_E_NONE); /* the least is lowered */
    CHECK_EQ(TRY_CHAOS(.latency_ppm = 1, .latency_min_ns = WEIR_S), WEIR_E_NONE);
    CHECK_EQ(
        TRY_CHAOS(.latency_ppm = 1, .latency_min_ns = WEIR_S, .latency_max_ns = WEIR_MS), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "latency_max_ns is 1000000, expected 1000000000..") != NULL);
}

TEST(config, the_bursts_of_a_chaos)
{
    CHECK_EQ(TRY_CHAOS(.error_ppm = 1, .burst_ns = DAY, .burst_factor = 2), WEIR_E_NONE);
    CHECK_EQ(TRY_CHAOS(.error_ppm = 1, .burst_ns = S, .burst_every_ns = S - 1), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "burst_every_ns is 999999999, expected 1000000000..") != NULL);
    CHECK_EQ(TRY_CHAOS(.error_ppm = 1, .burst_ns = S, .burst_factor = 1), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "burst_factor is 1, expected 2..1000000") != NULL);
    CHECK_EQ(TRY_CHAOS(.error_ppm = 1, .burst_factor = 2), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "burst_ns is 0") != NULL);
    CHECK_EQ(TRY_CHAOS(.error_ppm = 1, .burst_every_ns = S), WEIR_E_INVALID);
    CHECK(strstr(weir_error_text(), "burst_ns is 0") != NULL);
}

/* ---- sizes and names: of every kind ---- */

static const struct {
    const char *type;
    enum weir_error (*try)(const void *config);
    uint32_t size;
} kinds[] = {
#define KIND(kind)                                                               \
    {                                                                            \
        "weir_" #kind "_config", try_##kind, sizeof(struct weir_##kind##_config) \
    }
    KIND(breaker),
    KIND(bulkhead),
    KIND(rate),
    KIND(timeout),
    KIND(retry),
    KIND(fallback),
    KIND(gate),
    KIND(budget),
    KIND(pipeline),
    KIND(standard),
    KIND(controller),
};
#define KINDS (sizeof kinds / sizeof kinds[0])
#define NAME_OFFSET 8 /* of every config */
_Static_assert(offsetof(struct weir_breaker_config, name) == NAME_OFFSET, "the second field");
_Static_assert(offsetof(struct weir_controller_config, name) == NAME_OFFSET, "the second field");

static enum weir_error with_size(size_t kind, uint32_t size, unsigned char tail)
{
    static _Alignas(16) unsigned char config[8192];
    memset(config, 0, sizeof config);
    memset(config + kinds[kind].size, tail, sizeof config - kinds[kind].size);
    memcpy(config, &size, sizeof size);
    return kinds[kind].try(config);
}

static void check_size_text(size_t kind, uint32_t size)
{
    char text[96];
    snprintf(text, sizeof text, "%s.size is %u", kinds[kind].type, size);
    CHECK(strstr(weir_error_text(), text) != NULL);
}

TEST(config, sizes)
{
    for (size_t i = 0; i < KINDS; i++) {
        uint32_t known = kinds[i].size;
        CHECK_EQ(kinds[i].try(NULL), WEIR_E_NONE);
        CHECK_EQ(with_size(i, known, 0xff), WEIR_E_NONE); /* what lies behind it is not ours */
        CHECK_EQ(with_size(i, known + 8, 0), WEIR_E_NONE);
        CHECK_EQ(with_size(i, 4096, 0), WEIR_E_NONE);
        static const uint32_t wrong[] = { 0, 1, 2, 3, 4097, 0x7fffffff, UINT32_MAX };
        for (int j = 0; j < 7; j++) {
            CHECK_EQ(with_size(i, wrong[j], 0), WEIR_E_SIZE);
            check_size_text(i, wrong[j]);
        }
        for (uint32_t more = 1; more < 64; more++) {
            CHECK_EQ(with_size(i, known + more, 1), WEIR_E_SIZE);
            check_size_text(i, known + more);
        }
    }
}

/* Half a pointer is none: a size that ends within a field was never any version's. */
TEST(config, a_size_that_cuts_a_field_is_refused)
{
    for (size_t i = 0; i < KINDS; i++) {
        _Alignas(16) unsigned char config[512] = { 0 };
        const char *name = "name";
        uint32_t size = NAME_OFFSET + 4;
        memcpy(config, &size, sizeof size);
        memcpy(config + NAME_OFFSET, &name, sizeof name);
        CHECK_EQ(kinds[i].try(config), WEIR_E_SIZE);
    }
}

static enum weir_error with_name(size_t kind, const char *name)
{
    _Alignas(16) unsigned char config[512] = { 0 };
    memcpy(config, &kinds[kind].size, sizeof kinds[kind].size);
    memcpy(config + NAME_OFFSET, &name, sizeof name);
    return kinds[kind].try(config);
}

TEST(config, names)
{
    static char million[1 << 20];
    memset(million, 'n', sizeof million - 1);
    for (size_t i = 0; i < KINDS; i++) {
        char text[96];
        snprintf(text, sizeof text, "%s.name is ", kinds[i].type);
        CHECK_EQ(with_name(i, NULL), WEIR_E_NONE);
        CHECK_EQ(with_name(i, "n"), WEIR_E_NONE);
        CHECK_EQ(with_name(i, million + sizeof million - 1 - 63), WEIR_E_NONE);
        CHECK_EQ(with_name(i, ""), WEIR_E_INVALID);
        CHECK(strstr(weir_error_text(), text) != NULL);
        CHECK(strstr(weir_error_text(), "is empty, expected 1..63 bytes") != NULL);
        CHECK_EQ(with_name(i, million + sizeof million - 1 - 64), WEIR_E_INVALID);
        CHECK(strstr(weir_error_text(), "is too long, expected 1..63 bytes") != NULL);
        CHECK_EQ(with_name(i, million), WEIR_E_INVALID);
        CHECK_EQ(with_name(i, "\r\n\"\\%n\x1b[31m\xc3\xa9"), WEIR_E_NONE);
    }
}
