/* The parts of the multi driver alone: timers and handles against models, posts from many threads. */
#include "adapters/curl/handles.h"
#include "adapters/curl/ready.h"
#include "adapters/curl/timers.h"

#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <weir/base.h>

static uint64_t random_from(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

enum { TIMERS = 64 };

/* The earliest of those that are set, by looking at all. */
static uint64_t earliest(const struct timer *timer)
{
    uint64_t due_ns = WEIR_NEVER;
    for (int i = 0; i < TIMERS; i++) {
        if (timer[i].place != 0 && timer[i].due_ns < due_ns) due_ns = timer[i].due_ns;
    }
    return due_ns;
}

TEST(curl_units, timers_against_a_model)
{
    struct timers timers = { 0 };
    struct timer timer[TIMERS] = { { 0 } };
    uint64_t state = 20261128;
    CHECK_EQ(timers_next(&timers), WEIR_NEVER);
    CHECK(timers_due(&timers, WEIR_NEVER) == NULL);
    for (int step = 0; step < 100000; step++) {
        struct timer *one = &timer[random_from(&state) % TIMERS];
        uint64_t what = random_from(&state) % 8, instant_ns = random_from(&state) % 1000;
        CHECK(timers_reserve(&timers, TIMERS));
        if (what < 5) timers_set(&timers, one, instant_ns);
        else if (what < 7) timers_set(&timers, one, WEIR_NEVER);
        else {
            uint64_t expected_ns = earliest(timer);
            struct timer *due = timers_due(&timers, instant_ns);
            CHECK((due != NULL) == (expected_ns <= instant_ns));
            if (due != NULL) CHECK_EQ(due->due_ns, expected_ns);
            if (due != NULL) CHECK_EQ(due->place, 0);
        }
        CHECK_EQ(timers_next(&timers), earliest(timer));
    }
    timers_free(&timers);
}

TEST(curl_units, handles_against_a_model)
{
    enum { HANDLES = 300 };
    static struct handle handle[HANDLES];
    static bool there[HANDLES];
    struct handles handles = { NULL };
    uint64_t state = 20261129;
    CHECK(handles_find(&handles, (CURL *)16) == NULL);
    for (int step = 0; step < 100000; step++) {
        size_t which = random_from(&state) % (step % 20000 < 10000 ? HANDLES : 20); /* full, then sparse */
        CURL *easy = (CURL *)((which + 1) * 16);
        CHECK(handles_find(&handles, easy) == (there[which] ? &handle[which] : NULL));
        if (there[which]) handles_remove(&handles, &handle[which]);
        else CHECK(handles_add(&handles, &handle[which], easy));
        there[which] = !there[which];
        size_t other = random_from(&state) % HANDLES;
        CHECK(handles_find(&handles, (CURL *)((other + 1) * 16)) == (there[other] ? &handle[other] : NULL));
    }
    for (size_t i = 0; i < HANDLES; i++) {
        if (there[i]) handles_remove(&handles, &handle[i]);
    }
    CHECK(handles.first == NULL);
}

/* ---- posts ---- */

enum { POSTERS = 4, NODES = 16, POSTS = 20000 };

struct post_office {
    struct ready ready;
    struct ready_node node[NODES];
    _Atomic uint64_t posted[NODES]; /* counted before each post */
    _Atomic uint32_t posters;
};

static void *post_many(void *argument)
{
    struct post_office *office = argument;
    uint64_t state = (uint64_t)(uintptr_t)&state;
    for (int i = 0; i < POSTS; i++) {
        size_t which = random_from(&state) % NODES;
        atomic_fetch_add(&office->posted[which], 1);
        ready_post(&office->node[which]);
    }
    atomic_fetch_sub(&office->posters, 1);
    return NULL;
}

/* Whoever takes a node sees everything that came before its post, and the last post of all is taken: the driver
 * sleeps on its descriptor in between. */
TEST(curl_units, no_post_is_lost)
{
    struct post_office office = { .posters = POSTERS };
    pthread_t thread[POSTERS];
    uint64_t seen[NODES] = { 0 };
    CURLM *multi = curl_multi_init();
    CHECK(ready_open(&office.ready, multi));
    for (int i = 0; i < NODES; i++) office.node[i].ready = &office.ready;
    for (int i = 0; i < POSTERS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, post_many, &office), 0);
    bool all = false;
    while (!all) {
        struct curl_waitfd wait = { office.ready.descriptor, CURL_WAIT_POLLIN, 0 };
        curl_multi_poll(multi, &wait, 1, 60000, NULL);
        ready_come(&office.ready);
        do {
            for (struct ready_node *node = ready_take(&office.ready); node != NULL;) {
                size_t which = (size_t)(node - office.node);
                node = ready_next(node);
                seen[which] = atomic_load(&office.posted[which]);
            }
        } while (!ready_go(&office.ready));
        uint64_t sum = 0;
        for (int i = 0; i < NODES; i++) sum += seen[i];
        all = sum == (uint64_t)POSTERS * POSTS;
    }
    for (int i = 0; i < POSTERS; i++) pthread_join(thread[i], NULL);
    CHECK(ready_take(&office.ready) == NULL);
    ready_close(&office.ready);
    curl_multi_cleanup(multi);
}

/* The driver is told once for all that comes while it is away, and not at all while it is there. */
TEST(curl_units, the_driver_is_told_once)
{
    struct post_office office = { .posters = 0 };
    CURLM *multi = curl_multi_init();
    eventfd_t told;
    CHECK(ready_open(&office.ready, multi));
    for (int i = 0; i < NODES; i++) {
        office.node[i].ready = &office.ready;
        ready_post(&office.node[i]);
    }
    CHECK_EQ(eventfd_read(office.ready.descriptor, &told), 0);
    CHECK_EQ(told, 1);
    eventfd_write(office.ready.descriptor, told);
    ready_come(&office.ready);
    CHECK(eventfd_read(office.ready.descriptor, &told) != 0); /* heard */
    size_t count = 0;
    for (struct ready_node *node = ready_take(&office.ready); node != NULL; node = ready_next(node)) count++;
    CHECK_EQ(count, NODES);
    ready_post(&office.node[0]);
    CHECK(eventfd_read(office.ready.descriptor, &told) != 0);
    CHECK(!ready_go(&office.ready));
    CHECK(ready_take(&office.ready) == &office.node[0]);
    CHECK(ready_go(&office.ready));
    ready_close(&office.ready);
    curl_multi_cleanup(multi);
}
