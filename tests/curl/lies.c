#include "lies.h"

#include "support/test.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define TEN OK_HEAD "Content-Length: 10\r\n\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define NOT_NOW(when) "HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\nRetry-After: " when "\r\n\r\n"
#define REDIRECT "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"

const struct lie lies[] = {
    /* ---- silence ---- */
    { "says nothing", { .end = LIAR_HOLDS }, .may = MAY_EXPIRE },
    { "one byte a second", { .says = TEN "0123456789", .pause_ms = 1000 }, .may = MAY_EXPIRE },
    { "half a header, then silence", { .says = "HTTP/1.1 200 OK\r\nConte" }, .may = MAY_EXPIRE },
    { "half a body, then silence", { .says = TEN "01234" }, .may = MAY_EXPIRE },
    { "accepts nobody", { .queue_full = true }, .may = MAY_EXPIRE },
    { "ends its half, reads no upload", { .end = LIAR_HALF_CLOSES }, .may = MAY_EXPIRE, .upload = true },
    { "reads an upload, says nothing", { .end = LIAR_HOLDS }, .may = MAY_EXPIRE, .upload = true },
    /* ---- an end too early ---- */
    { "closes at once", { .end = LIAR_CLOSES }, .may = MAY_FAIL },
    { "resets at once", { .end = LIAR_RESETS }, .may = MAY_FAIL },
    { "half a body, then the end", { .says = TEN "01234", .end = LIAR_CLOSES }, .may = MAY_FAIL },
    { "half a body, then a reset", { .says = TEN "01234", .end = LIAR_RESETS }, .may = MAY_FAIL },
    { "half a body, then half the end", { .says = TEN "01234", .end = LIAR_HALF_CLOSES }, .may = MAY_FAIL },
    { "only headers, then half the end", { .says = OK_HEAD, .end = LIAR_HALF_CLOSES }, .may = MAY_FAIL },
    /* ---- without an end ---- */
    { "headers without end", { .says = OK_HEAD, .forever = "X-More: and more\r\n" },
        .may = MAY_EXPIRE | MAY_FAIL },
    { "one header without end", { .says = OK_HEAD "X-Long: ", .forever = "and on, " },
        .may = MAY_EXPIRE | MAY_FAIL },
    { "a storm of 1xx", { .forever = "HTTP/1.1 103 Early Hints\r\n\r\n" }, .may = MAY_EXPIRE | MAY_FAIL },
    { "redirects in a circle", { .says = REDIRECT, .end = LIAR_GOES_ON }, .may = MAY_EXPIRE | MAY_FAIL,
        .follow = true, .redirects_max = -1 },
    { "ten redirects in a circle", { .says = REDIRECT, .end = LIAR_GOES_ON }, .may = MAY_FAIL, .follow = true,
        .redirects_max = 10 },
    /* ---- a wrong length ---- */
    { "a length too long, then the end", { .says = TEN "012345678", .end = LIAR_CLOSES }, .may = MAY_FAIL },
    { "a length too short", { .says = TEN "0123456789" TEN "0123456789", .end = LIAR_GOES_ON }, .may = MAY_OK,
        .whole = 10 },
    { "a negative length", { .says = OK_HEAD "Content-Length: -1\r\n\r\n0123456789" }, .may = MAY_FAIL },
    { "a length that is no number", { .says = OK_HEAD "Content-Length: ten\r\n\r\n0123456789" },
        .may = MAY_FAIL },
    { "a length beyond 64 bits", { .says = OK_HEAD "Content-Length: 99999999999999999999\r\n\r\n0123456789" },
        .may = MAY_EXPIRE },
    { "two lengths, the second longer",
        { .says = OK_HEAD "Content-Length: 5\r\nContent-Length: 10\r\n\r\n01234", .end = LIAR_CLOSES },
        .may = MAY_FAIL },
    /* ---- no HTTP ---- */
    { "garbage", { .says = "\x16\x03\x01\x02garbage\r\n\r\n", .end = LIAR_CLOSES }, .may = MAY_FAIL },
    { "garbage without end", { .forever = "garbage " }, .may = MAY_FAIL },
    { "another protocol", { .says = "220 mail.example ESMTP\r\n" }, .may = MAY_FAIL },
    { "HTTP of no known version", { .says = "HTTP/9.9 200 OK\r\n\r\n", .end = LIAR_CLOSES },
        .may = MAY_FAIL },
    /* ---- chunks ---- */
    { "a chunk shorter than it says", { .says = CHUNKED "a\r\n01234", .end = LIAR_CLOSES }, .may = MAY_FAIL },
    { "a chunk longer than it says", { .says = CHUNKED "5\r\n0123456789\r\n0\r\n\r\n", .end = LIAR_CLOSES },
        .may = MAY_FAIL },
    { "a chunk of no size", { .says = CHUNKED "ten\r\n0123456789\r\n0\r\n\r\n", .end = LIAR_CLOSES },
        .may = MAY_FAIL },
    { "a chunk beyond 64 bits", { .says = CHUNKED "fffffffffffffffff\r\n0123456789", .end = LIAR_CLOSES },
        .may = MAY_FAIL },
    { "chunks without the last", { .says = CHUNKED "5\r\n01234\r\n", .end = LIAR_CLOSES }, .may = MAY_FAIL },
    { "chunks without the last, then silence", { .says = CHUNKED "5\r\n01234\r\n" }, .may = MAY_EXPIRE },
    /* ---- not now ---- */
    { "back in a thousand years", { .says = NOT_NOW("31557600000"), .end = LIAR_GOES_ON },
        .may = MAY_OVERLOAD, .far = true },
    { "back at a date far away", { .says = NOT_NOW("Fri, 31 Dec 9999 23:59:59 GMT"), .end = LIAR_GOES_ON },
        .may = MAY_OVERLOAD, .far = true },
    { "back in the past", { .says = NOT_NOW("Thu, 01 Jan 1970 00:00:00 GMT"), .end = LIAR_GOES_ON },
        .may = MAY_OVERLOAD },
    { "back before now", { .says = NOT_NOW("-5"), .end = LIAR_GOES_ON }, .may = MAY_OVERLOAD },
    { "back at no time", { .says = NOT_NOW("soon\x01\xff"), .end = LIAR_GOES_ON }, .may = MAY_OVERLOAD },
    { "back beyond 64 bits", { .says = NOT_NOW("99999999999999999999999"), .end = LIAR_GOES_ON },
        .may = MAY_OVERLOAD },
};
const size_t lies_count = sizeof lies / sizeof *lies;

static size_t dropped(char *data, size_t size, size_t count, void *argument)
{
    (void)data, (void)argument;
    return size * count;
}

CURL *lie_handle(const struct lie *lie, const struct liar *liar)
{
    enum { UPLOAD = 16 * 1024 * 1024 };
    static char upload[UPLOAD];
    static char expect[] = "Expect:"; /* else it waits a second before it uploads */
    static struct curl_slist at_once = { expect, NULL };
    char url[64];
    CURL *easy = curl_easy_init();
    CHECK(easy != NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", liar->port);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, dropped);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, (long)lie->follow);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, lie->redirects_max);
    if (lie->upload) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)UPLOAD);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, upload);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, &at_once);
    }
    return easy;
}

struct weir_pipeline *lie_pipeline(uint64_t deadline_ns)
{
    struct weir_pipeline *pipeline;
    CHECK_EQ(weir_pipeline_standard(
                 WEIR_CONFIG(weir_standard_config, .name = "liar", .deadline_ns = deadline_ns), &pipeline),
        WEIR_E_NONE);
    return pipeline;
}

void lie_pipeline_destroy(struct weir_pipeline *pipeline)
{
    enum { BREAKER = 2, BULKHEAD = 3 };
    uint64_t now = now_ns();
    struct weir_breaker_stats breaker = weir_breaker_stats(weir_pipeline_policy(pipeline, BREAKER), now);
    CHECK_EQ(weir_bulkhead_stats(weir_pipeline_policy(pipeline, BULKHEAD)).in_use, 0);
    CHECK_EQ(weir_pipeline_stats(pipeline).in_flight, 0);
    CHECK_EQ(breaker.probes_out, 0);
    CHECK(breaker.until_ns <= now + 6 * WEIR_S); /* the preset's 5 s and its jitter */
    weir_pipeline_destroy(pipeline);
}

void lie_check(const struct lie *lie, const struct liar *liar, struct weir_outcome outcome, size_t body)
{
    char text[160];
    bool may = lie->may & 1U << outcome.status;
    bool half = outcome.status == WEIR_OK && body != lie->whole;
    bool denied = outcome.flags & WEIR_NOT_SENT && liar_bytes(liar) > 0;
    bool claimed = !(outcome.flags & WEIR_NOT_SENT) && lie->script.queue_full;
    if (!may || half || denied || claimed) {
        check_failed(__FILE__, __LINE__, "%s: %s (code %d, flags %u, body of %zu)%s", lie->name,
            weir_outcome_text(text, sizeof text, NULL, outcome), outcome.code, outcome.flags, body,
            denied        ? ": it was sent"
                : claimed ? ": nothing was sent"
                          : "");
    }
}

/* ---- what is left behind ---- */

enum { TASK_PATH = 32 };

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static void *tell_task(void *task)
{
    snprintf(task, TASK_PATH, "/proc/self/task/%d", gettid());
    return NULL;
}

/* A sanitizer begins a thread of its own with the first of the program: here, not while others are counted. */
static void begin_first_thread(void)
{
    static bool begun;
    char task[TASK_PATH];
    pthread_t first;
    if (begun) {
        return;
    }
    CHECK_EQ(pthread_create(&first, NULL, tell_task, task), 0);
    pthread_join(first, NULL);
    while (access(task, F_OK) == 0) {
        sched_yield(); /* a joined thread's task ends a moment later */
    }
    begun = true;
}

struct left left_now(void)
{
    begin_first_thread();
    return (struct left) { entries("/proc/self/fd"), entries("/proc/self/task") };
}

void left_check(const char *after, struct left before)
{
    uint64_t end = now_ns() + BOUND;
    struct left left = left_now();
    while (left.threads != before.threads && now_ns() < end) {
        sched_yield(); /* a joined thread's task ends a moment later */
        left = left_now();
    }
    if (left.threads != before.threads || left.descriptors != before.descriptors) {
        check_failed(__FILE__, __LINE__, "%s: %u descriptors and %u threads, before %u and %u", after,
            left.descriptors, left.threads, before.descriptors, before.threads);
    }
}

uint64_t now_ns(void)
{
    return weir_now(WEIR_TIMING_PRECISE);
}
