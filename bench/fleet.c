/* weir-bench-fleet: a shared rate limit on a real Redis, on a unix socket: how many decisions a second one thread makes on
 * tokens lent ahead of need, and how many where each decision asks Redis, as other libraries do, by the same script.
 *
 *     weir-bench-fleet [SECONDS]
 *
 * Both are measured in turns, several times; the medians and their ratio are printed. Exit status: 1 if a goal is missed. */
#include "support/server.h"

#include <weir/redis.h>
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5
#define PERMITS UINT64_C(1000000000) /* more than anybody can take: the limit is not what is measured */
#define CALLS_A_CLOCK 64             /* decisions for one clock read, on both sides */

#define GOAL_PER_S 35e6
#define GOAL_TRIPS 1.0 /* per 1,000 decisions */
#define GOAL_RATIO 700.0

struct figure {
    double per_s, trips_per_1000, refused_percent;
};

static void require(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "weir-bench-fleet: %s: %s\n", what, weir_error_text());
    exit(2);
}

static uint64_t now(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}

/* ---- by tokens that were lent ---- */

static struct figure measure_lent(struct weir_policy *rate, uint64_t length_ns)
{
    uint64_t began_ns = now(), now_ns = began_ns, passed = 0, refused = 0;
    uint64_t asked = weir_share_stats(rate).asked;
    while (now_ns < began_ns + length_ns) {
        for (int i = 0; i < CALLS_A_CLOCK; i++) {
            if (weir_rate_acquire_at(rate, 1, now_ns).status == WEIR_OK) passed++;
            else refused++;
        }
        now_ns = now();
    }
    asked = weir_share_stats(rate).asked - asked;
    return (struct figure) {
        .per_s = (double)passed / (double)(now_ns - began_ns) * 1e9,
        .trips_per_1000 = (double)asked * 1000 / (double)passed,
        .refused_percent = (double)refused * 100 / (double)(passed + refused),
    };
}

/* ---- by a question each ---- */

static char *load_script(struct redis_client *client)
{
    static char sha[64], text[32768];
    FILE *file = fopen(WEIR_SCRIPTS "/rate.lua", "r");
    require(file != NULL, "rate.lua cannot be read");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    static struct redis_answer answer;
    redis_client_ask(client, &answer, "SCRIPT", "LOAD", text);
    require(answer.kind == REDIS_STRING, "rate.lua is not taken");
    snprintf(sha, sizeof sha, "%.40s", answer.text);
    return sha;
}

/* sequence, permits, period, burst, want, unspent, returned, debit, hold_max, lease, watermark, presence: one token */
static struct figure measure_trips(struct redis_client *client, const char *sha, uint64_t length_ns)
{
    static struct redis_answer answer;
    static uint64_t sequence;
    uint64_t began_ns = now(), now_ns = began_ns, passed = 0;
    char number[24];
    for (; now_ns < began_ns + length_ns; now_ns = now()) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)++sequence);
        redis_client_ask(client, &answer, "EVALSHA", sha, "2", "weir:{bench:trip}:r", "weir:{bench:trip}:rm",
            "00000000000000010000000000000001", number, "1000", "1", "1000000000", "1", "0", "0", "0", "0",
            "1000", "0", "3000");
        require(answer.kind == REDIS_ARRAY && answer.integers[0] == 1, "a token was not granted");
        passed++;
    }
    return (struct figure) { .per_s = (double)passed / (double)(now_ns - began_ns) * 1e9,
        .trips_per_1000 = 1000 };
}

/* ---- all ---- */

static int by_speed(const void *a, const void *b)
{
    double x = ((const struct figure *)a)->per_s, y = ((const struct figure *)b)->per_s;
    return (x > y) - (x < y);
}

static struct figure median(struct figure figures[ROUNDS])
{
    qsort(figures, ROUNDS, sizeof *figures, by_speed);
    return figures[ROUNDS / 2];
}

static bool row(const char *name, double have, const char *unit, double goal, bool at_least)
{
    bool met = at_least ? have >= goal : have <= goal;
    printf("%-24s %14.6g  %-28s goal %s %.6g: %s\n", name, have, unit, at_least ? ">=" : "<=", goal,
        met ? "met" : "MISSED");
    return met;
}

static bool report(struct figure lent, struct figure trip)
{
    printf("%-24s %14.6g  %-28s\n", "shared/rate/one-trip", trip.per_s, "decisions/s");
    bool met = row("shared/rate/throughput", lent.per_s, "decisions/s", GOAL_PER_S, true);
    met &= row("", lent.trips_per_1000, "round trips per 1,000", GOAL_TRIPS, false);
    met &= row("", lent.per_s / trip.per_s, "times one-trip", GOAL_RATIO, true);
    printf("%.2f %% of the calls came before their tokens were there; these are not counted.\n",
        lent.refused_percent);
    return met;
}

int main(int count, char **arguments)
{
    double seconds = count > 1 ? atof(arguments[1]) : 1;
    uint64_t length_ns = (uint64_t)(seconds * 1e9);
    struct redis_server server;
    struct redis_client client;
    struct weir_link *link;
    struct weir_policy *rate;
    char address[96];
    redis_server_start(&server, NULL);
    snprintf(address, sizeof address, "unix:%s", server.path);
    const struct redis_address place = redis_server_unix(&server);
    require(redis_client_open(&client, &place, 5000), "no connection");
    require(weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = address, .thread = true), &link) ==
            WEIR_E_NONE,
        "no link");
    require(
        weir_rate_create(WEIR_CONFIG(weir_rate_config, .permits = PERMITS, .burst = PERMITS, .lease = 4096,
                             .form = WEIR_FORM_SHARDED,
                             .share = WEIR_CONFIG(weir_share_config, .link = link, .away = WEIR_AWAY_CLOSED)),
            &rate) == WEIR_E_NONE,
        "no rate limit");
    const char *sha = load_script(&client);
    struct figure lent[ROUNDS], trip[ROUNDS];
    (void)measure_lent(rate, length_ns); /* it learns what is wanted */
    for (int i = 0; i < ROUNDS; i++) {
        trip[i] = measure_trips(&client, sha, length_ns / 2);
        lent[i] = measure_lent(rate, length_ns);
    }
    bool met = report(median(lent), median(trip));
    weir_policy_release(rate);
    weir_redis_close(link, WEIR_S);
    redis_client_close(&client);
    redis_server_stop(&server);
    return met ? 0 : 1;
}
