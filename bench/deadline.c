/* The calls are made by LANES threads side by side, since nearly all of their time is waiting; their begins are
 * drawn, so that they seldom end together. The pipeline has no breaker: it would end the experiment. */
#include "deadline.h"

#include "liars/liar.h"
#include "live.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <weir/curl.h>
#include <weir/weir.h>

enum { LANES = 15, SAMPLES_A_LANE = 7, SAMPLES = LANES * SAMPLES_A_LANE, UPLOAD_BYTES = 1024 * 1024 };
enum { TRIES = 2 };                   /* for a sample */
enum { NAME_SERVER = 1, UPLOAD = 2 }; /* what a fault needs */
#define ASKED (300 * WEIR_MS)
#define DISTURBED (200 * WEIR_US)
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234"

static const struct fault {
    unsigned needs;
    struct liar_script script;
} dns_silent = { .needs = NAME_SERVER }, silent = { 0 },
  dribble = { .script = { .says = RESPONSE, .pause_ms = 1000 } },
  half_close = { .needs = UPLOAD, .script = { .end = LIAR_HALF_CLOSES } };

static const struct deadline_row {
    const char *name;
    const struct fault *fault; /* NULL: a control */
    bool cancel;
} rows[DEADLINE_ROWS] = {
    { "deadline/sleep", NULL, false },
    { "deadline/wake", NULL, true },
    { "deadline/curl/dns-silent", &dns_silent, false },
    { "deadline/curl/silent", &silent, false },
    { "deadline/curl/dribble", &dribble, false },
    { "deadline/curl/half-close", &half_close, false },
    { "deadline/curl/cancel-dns-silent", &dns_silent, true },
    { "deadline/curl/cancel-silent", &silent, true },
    { "deadline/curl/cancel-dribble", &dribble, true },
    { "deadline/curl/cancel-half-close", &half_close, true },
};

static char upload[UPLOAD_BYTES];

/* ---- the handle, and the library alone ---- */

/* So that the upload stands still soon: what lies in buffers is copied and freed in each sample. */
static int buffer_little(void *argument, curl_socket_t socket, curlsocktype purpose)
{
    (void)argument, (void)purpose;
    setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &(int) { 32768 }, sizeof(int));
    return CURL_SOCKOPT_OK;
}

static CURL *handle(const struct fault *fault, const struct liar *liar)
{
    static char expect[] = "Expect:"; /* else it waits a second before it uploads */
    static struct curl_slist at_once = { expect, NULL };
    char url[64];
    CURL *easy = curl_easy_init();
    require(easy != NULL, "out of memory");
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", liar->port);
    curl_easy_setopt(easy, CURLOPT_URL, fault->needs & NAME_SERVER ? "http://nobody.example/" : url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (fault->needs & UPLOAD) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)UPLOAD_BYTES);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, upload);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, &at_once);
        curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, buffer_little);
    }
    return easy;
}

struct bare {
    pthread_t thread;
    const struct deadline_row *row;
    struct liar liar;
    uint64_t began_ns;
    double *took_ms;
};

static int cancel_bare(void *argument, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct bare *bare = argument;
    (void)a, (void)b, (void)c, (void)d;
    return live_now() - bare->began_ns >= ASKED;
}

static void *bare_main(void *argument)
{
    struct bare *bare = argument;
    CURL *easy = handle(bare->row->fault, &bare->liar);
    if (bare->row->cancel) {
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, cancel_bare);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, bare);
    } else {
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(ASKED / WEIR_MS));
    }
    bare->began_ns = live_now();
    curl_easy_perform(easy);
    *bare->took_ms = (double)(live_now() - bare->began_ns) / 1e6;
    curl_easy_cleanup(easy);
    return NULL;
}

/* ---- a sample ---- */

struct sample {
    double asked_ms, took_ms, over_ms;
    bool disturbed; /* for a while there was no CPU for its thread */
};

struct lane {
    pthread_t thread;
    const struct deadline_row *row;
    const struct liar *liar;
    const struct weir_pipeline *pipeline;
    uint64_t random;
    bool busy; /* then that there is no CPU is what is measured */
    struct sample *samples;
};

static void sleep_until(uint64_t instant_ns)
{
    struct timespec until = { .tv_sec = (time_t)(instant_ns / WEIR_S),
        .tv_nsec = (long)(instant_ns % WEIR_S) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

static struct sample sample_of(uint64_t began_ns, uint64_t asked_ns, uint64_t ended_ns)
{
    double asked_ms = (double)(asked_ns - began_ns) / 1e6, took_ms = (double)(ended_ns - began_ns) / 1e6;
    return (struct sample) { asked_ms, took_ms, took_ms - asked_ms };
}

static struct sample sample_sleep(void)
{
    uint64_t began = live_now();
    sleep_until(began + ASKED);
    return sample_of(began, began + ASKED, live_now());
}

static void must_be(const struct lane *lane, struct weir_outcome outcome, enum weir_status status)
{
    char text[160];
    require(outcome.status == status, "%s: %s", lane->row->name,
        weir_outcome_text(text, sizeof text, lane->pipeline, outcome));
}

static struct sample sample_deadline(const struct lane *lane, CURL *easy)
{
    uint64_t began = live_now();
    struct weir_outcome outcome = weir_curl_perform(lane->pipeline, NULL, easy);
    uint64_t ended = live_now();
    must_be(lane, outcome, WEIR_EXPIRED);
    return sample_of(began, began + ASKED, ended);
}

/* At an instant between half of ASKED and half more. */
static uint64_t cancel_at(struct lane *lane, uint64_t began_ns)
{
    return began_ns + ASKED / 2 + live_draw(&lane->random) % ASKED;
}

struct canceler {
    pthread_t thread;
    struct weir_source *source;
    int eventfd; /* without a source */
    uint64_t at_ns;
};

static void *cancel_main(void *argument)
{
    struct canceler *canceler = argument;
    sleep_until(canceler->at_ns);
    canceler->at_ns = live_now(); /* what its own thread was late by is not weir's */
    if (canceler->source) {
        weir_source_cancel(canceler->source, 1);
    } else {
        require(eventfd_write(canceler->eventfd, 1) == 0, "an eventfd took nothing");
    }
    return NULL;
}

static struct sample sample_wake(struct lane *lane)
{
    struct canceler canceler = { .eventfd = eventfd(0, EFD_CLOEXEC) };
    struct pollfd readable = { .fd = canceler.eventfd, .events = POLLIN };
    uint64_t began = live_now();
    canceler.at_ns = cancel_at(lane, began);
    require(pthread_create(&canceler.thread, NULL, cancel_main, &canceler) == 0, "no thread");
    require(poll(&readable, 1, -1) == 1, "a poll was interrupted");
    uint64_t ended = live_now();
    pthread_join(canceler.thread, NULL);
    close(canceler.eventfd);
    return sample_of(began, canceler.at_ns, ended);
}

static struct sample sample_cancel(struct lane *lane, CURL *easy)
{
    struct weir_context context;
    struct canceler canceler;
    created(weir_source_create(&canceler.source), "a source");
    weir_context_child(&context, NULL, WEIR_NEVER, canceler.source);
    uint64_t began = live_now();
    canceler.at_ns = cancel_at(lane, began);
    require(pthread_create(&canceler.thread, NULL, cancel_main, &canceler) == 0, "no thread");
    struct weir_outcome outcome = weir_curl_perform(lane->pipeline,
        WEIR_CONFIG(weir_curl_options, .call = WEIR_CONFIG(weir_call_options, .context = &context)), easy);
    uint64_t ended = live_now();
    pthread_join(canceler.thread, NULL);
    must_be(lane, outcome, WEIR_CANCELED);
    weir_source_release(canceler.source);
    return sample_of(began, canceler.at_ns, ended);
}

static struct sample sample(struct lane *lane, CURL *easy)
{
    if (easy) {
        return lane->row->cancel ? sample_cancel(lane, easy) : sample_deadline(lane, easy);
    }
    return lane->row->cancel ? sample_wake(lane) : sample_sleep();
}

/* How long this thread was ready to run and did not; 0: the kernel does not say. */
static uint64_t waited_for_cpu_ns(void)
{
    unsigned long long ran = 0, waited = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "r");
    if (file) {
        if (fscanf(file, "%llu %llu", &ran, &waited) != 2) {
            waited = 0;
        }
        fclose(file);
    }
    return waited;
}

/* Where the machine should be idle, a sample that other work disturbed is taken again, and stays if it is disturbed
 * each time. */
static struct sample undisturbed_sample(struct lane *lane, CURL *easy)
{
    struct sample taken;
    unsigned tries = lane->busy ? 1 : TRIES;
    do {
        uint64_t before = waited_for_cpu_ns();
        taken = sample(lane, easy);
        taken.disturbed = waited_for_cpu_ns() - before > DISTURBED;
    } while (taken.disturbed && --tries > 0);
    return taken;
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    CURL *easy = lane->row->fault ? handle(lane->row->fault, lane->liar) : NULL;
    sleep_until(live_now() + live_draw(&lane->random) % ASKED);
    for (unsigned i = 0; i < SAMPLES_A_LANE; i++) {
        lane->samples[i] = undisturbed_sample(lane, easy);
    }
    curl_easy_cleanup(easy);
    weir_curl_thread_cleanup();
    return NULL;
}

/* ---- a row ---- */

static struct weir_pipeline *pipeline_of(const struct deadline_row *row)
{
    struct weir_policy *order[3];
    struct weir_pipeline *pipeline;
    uint64_t after_ns = row->cancel ? 60 * WEIR_S : ASKED;
    created(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = after_ns), &order[0]),
        "a timeout");
    created(weir_retry_create(NULL, &order[1]), "a retry");
    created(weir_bulkhead_create(NULL, &order[2]), "a bulkhead");
    created(weir_pipeline_create(NULL, order, 3, &pipeline), "a pipeline");
    for (unsigned i = 0; i < 3; i++) {
        weir_policy_release(order[i]);
    }
    return pipeline;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double quantile(const struct sample *samples, size_t offset, unsigned percent)
{
    double values[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        values[i] = *(const double *)((const char *)&samples[i] + offset);
    }
    qsort(values, SAMPLES, sizeof *values, by_value);
    return values[(SAMPLES * percent + 99) / 100 - 1];
}

static struct deadline_figures figures_of(const struct sample *samples)
{
    struct deadline_figures figures = {
        .asked_ms = quantile(samples, offsetof(struct sample, asked_ms), 50),
        .took_ms = quantile(samples, offsetof(struct sample, took_ms), 50),
        .over_ms = quantile(samples, offsetof(struct sample, over_ms), 99),
        .samples = SAMPLES,
    };
    for (size_t i = 0; i < SAMPLES; i++) {
        figures.disturbed += samples[i].disturbed;
    }
    return figures;
}

static struct deadline_figures measure_row(const struct deadline_row *row, const struct liar *liar, bool busy)
{
    struct sample samples[SAMPLES];
    struct lane lanes[LANES];
    struct weir_pipeline *pipeline = pipeline_of(row);
    for (unsigned i = 0; i < LANES; i++) {
        lanes[i] = (struct lane) { .row = row,
            .liar = liar,
            .pipeline = pipeline,
            .random = i,
            .busy = busy,
            .samples = &samples[i * SAMPLES_A_LANE] };
        require(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]) == 0, "no thread");
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
    }
    weir_pipeline_destroy(pipeline);
    return figures_of(samples);
}

/* ---- all cores busy ---- */

enum { CORES_MAX = 256 };

static struct {
    pthread_t thread[CORES_MAX];
    unsigned count;
    bool over;
} busy;

static void *busy_main(void *argument)
{
    while (!__atomic_load_n(&busy.over, __ATOMIC_RELAXED)) {
        floor_alu(NULL, 100000);
    }
    return argument;
}

static void busy_begin(void)
{
    cpu_set_t allowed;
    busy.over = false;
    busy.count = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? (unsigned)CPU_COUNT(&allowed) : 1;
    for (unsigned i = 0; i < busy.count && i < CORES_MAX; i++) {
        require(pthread_create(&busy.thread[i], NULL, busy_main, NULL) == 0, "no thread");
    }
}

static void busy_end(void)
{
    __atomic_store_n(&busy.over, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < busy.count && i < CORES_MAX; i++) {
        pthread_join(busy.thread[i], NULL);
    }
}

/* ---- the group ---- */

bool deadline_selects(const char *prefix)
{
    bool any = false;
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        any = any || live_row(rows[i].name, prefix);
    }
    return any;
}

static void measure_bare(const bool run[], struct liar liars[], struct deadline_result *results)
{
    struct bare bare[DEADLINE_ROWS];
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        bare[i] = (struct bare) { .row = &rows[i], .liar = liars[i], .took_ms = &results[i].bare_ms };
        require(!run[i] || !rows[i].fault || pthread_create(&bare[i].thread, NULL, bare_main, &bare[i]) == 0,
            "no thread");
    }
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        if (run[i] && rows[i].fault) {
            pthread_join(bare[i].thread, NULL);
        }
    }
}

void deadline_measure(const char *prefix, void *argument)
{
    struct deadline_result *results = argument;
    struct liar liars[DEADLINE_ROWS], dns;
    bool run[DEADLINE_ROWS];
    const char *why = liar_private_network("");
    if (why) {
        printf("rows with a silent name server are skipped: %s\n", why);
        fflush(stdout);
    } else {
        liar_start_dns(&dns);
    }
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        const struct fault *fault = rows[i].fault;
        run[i] = live_row(rows[i].name, prefix) && !(why && fault && fault->needs & NAME_SERVER);
        if (run[i] && fault) {
            liar_start(&liars[i], &fault->script);
        }
    }
    measure_bare(run, liars, results);
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        if (run[i]) {
            results[i].idle = measure_row(&rows[i], &liars[i], false);
            busy_begin();
            results[i].busy = measure_row(&rows[i], &liars[i], true);
            busy_end();
            fprintf(stderr, "%s\n", rows[i].name);
        }
    }
}

/* ---- what it came to ---- */

static const double reach_idle_ms = 2, reach_busy_ms = 10;

static void print_row(const char *name, const struct deadline_result *result)
{
    const struct deadline_figures *idle = &result->idle, *full = &result->busy;
    printf("%-32s %7.1f %7.1f %7.2f%c %7.2f ", name, idle->asked_ms, idle->took_ms, idle->over_ms,
        idle->disturbed > 0 ? '~' : ' ', full->over_ms);
    if (result->bare_ms == 0) {
        printf("      -  stated\n");
        return;
    }
    bool met = idle->over_ms <= reach_idle_ms && full->over_ms <= reach_busy_ms;
    printf("%7.0f  %g, %g ms %s\n", result->bare_ms, reach_idle_ms, reach_busy_ms, met ? "met" : "missed");
}

void deadline_table(const struct deadline_result results[DEADLINE_ROWS])
{
    printf("\n%-32s %7s %7s %7s  %7s %7s  reach\n", "milliseconds, p50 and over p99", "asked", "took", "over",
        "busy", "bare");
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        if (results[i].idle.samples > 0) {
            print_row(rows[i].name, &results[i]);
        }
    }
}

void deadline_json(FILE *file, const struct deadline_result results[DEADLINE_ROWS])
{
    const char *separator = "";
    fprintf(file, ",\n\"deadline\": [");
    for (unsigned i = 0; i < DEADLINE_ROWS; i++) {
        const struct deadline_figures *idle = &results[i].idle, *full = &results[i].busy;
        if (idle->samples == 0) {
            continue;
        }
        fprintf(file,
            "%s\n  {\"name\": \"%s\", \"samples\": %u, \"disturbed\": %u, \"asked_ms\": %.3f, \"took_ms\": "
            "%.3f, ",
            separator, rows[i].name, idle->samples, idle->disturbed, idle->asked_ms, idle->took_ms);
        fprintf(file, "\"over_ms\": %.3f, \"busy_took_ms\": %.3f, \"busy_over_ms\": %.3f, ", idle->over_ms,
            full->took_ms, full->over_ms);
        fprintf(
            file, results[i].bare_ms > 0 ? "\"bare_ms\": %.1f}" : "\"bare_ms\": null}", results[i].bare_ms);
        separator = ",";
    }
    fprintf(file, "\n]");
}
