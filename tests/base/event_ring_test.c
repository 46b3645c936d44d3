/* The ring of events: order, bounds, re-entrancy, forks, threads. */
#include "support/test.h"

#include "base/event_ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM (EVENT_RING_SIZE - 1)

static struct weir_event event_of(uint64_t n)
{
    return (struct weir_event) { .kind = WEIR_EVENT_CUSTOM, .code = (int32_t)n, .now_ns = n };
}

static struct event_ring *fresh(void)
{
    struct event_ring *ring = aligned_alloc(64, (sizeof *ring + 63) / 64 * 64);
    CHECK(ring != NULL);
    event_ring_init(ring);
    return ring;
}

/* A sink that checks the order, and may do more. */
struct ear {
    struct event_ring *ring;
    const struct weir_sink *sink;
    uint64_t heard;
    uint64_t push_again; /* events to push from within */
    uint64_t depth, delivered_inside;
    bool forks;
};

static void hear(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    struct ear *ear = argument;
    CHECK(pipeline == NULL);
    CHECK_EQ(event->now_ns, ear->heard);
    CHECK_EQ(event->code, (int32_t)ear->heard);
    CHECK_EQ(++ear->depth, 1);
    ear->heard++;
    if (ear->push_again > 0) {
        ear->push_again--;
        CHECK(event_ring_push(ear->ring, event_of(ear->heard)));
        ear->delivered_inside += event_ring_deliver(ear->ring, ear->sink, NULL);
    }
    if (ear->forks && fork() == 0) ear->forks = false;
    ear->depth--;
}

TEST(event_ring, delivers_in_order)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring };
    struct weir_sink sink = { hear, &ear };
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 0);
    for (uint64_t n = 0; n < 1000; n++) {
        CHECK(event_ring_push(ring, event_of(n)));
        if (n % 7 == 6) CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 7);
    }
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 1000 % 7);
    CHECK_EQ(ear.heard, 1000);
    CHECK_EQ(event_ring_dropped(ring), 0);
    free(ring);
}

TEST(event_ring, drops_and_counts_when_it_is_full)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring };
    struct weir_sink sink = { hear, &ear };
    for (uint64_t n = 0; n < ROOM; n++) CHECK(event_ring_push(ring, event_of(n)));
    CHECK(!event_ring_push(ring, event_of(ROOM)));
    CHECK(!event_ring_push(ring, event_of(ROOM)));
    CHECK_EQ(event_ring_dropped(ring), 2);
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), ROOM);
    CHECK(event_ring_push(ring, event_of(ROOM)));
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 1);
    CHECK_EQ(event_ring_dropped(ring), 2);
    free(ring);
}

TEST(event_ring, a_push_never_waits_for_another)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring };
    struct weir_sink sink = { hear, &ear };
    ring->pushing = 1; /* as if a thread had been stopped in the middle */
    CHECK(!event_ring_push(ring, event_of(0)));
    CHECK_EQ(event_ring_dropped(ring), 1);
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 0);
    ring->pushing = 0;
    CHECK(event_ring_push(ring, event_of(0)));
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 1);
    free(ring);
}

TEST(event_ring, a_sink_that_calls_weir_is_not_entered_twice)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring, .push_again = 10 };
    struct weir_sink sink = { hear, &ear };
    ear.sink = &sink;
    CHECK(event_ring_push(ring, event_of(0)));
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 11);
    CHECK_EQ(ear.delivered_inside, 0);
    free(ring);
}

TEST(event_ring, a_sink_that_never_stops_lets_its_thread_go)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring, .push_again = UINT64_MAX };
    struct weir_sink sink = { hear, &ear };
    ear.sink = &sink;
    CHECK(event_ring_push(ring, event_of(0)));
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), EVENT_RING_SIZE);
    ear.push_again = 0;
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 1);
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 0);
    free(ring);
}

static void join_child(pid_t child) /* -1: any */
{
    int status;
    CHECK(waitpid(child, &status, 0) > 0);
    CHECK_EQ(status, 0);
}

TEST(event_ring, a_child_leaves_its_parents_events_alone)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring };
    struct weir_sink sink = { hear, &ear };
    CHECK(event_ring_push(ring, event_of(0)));
    ring->turn = 1; /* as if one thread of the parent's were delivering, and another pushing */
    ring->pushing = 1;
    pid_t child = fork();
    if (child == 0) {
        bool well = event_ring_deliver(ring, &sink, NULL) == 0;
        well = event_ring_push(ring, event_of(0)) && well;
        well = event_ring_deliver(ring, &sink, NULL) == 1 && well;
        _exit(well ? 0 : 1);
    }
    join_child(child);
    ring->turn = 0;
    ring->pushing = 0;
    CHECK_EQ(event_ring_deliver(ring, &sink, NULL), 1);
    free(ring);
}

TEST(event_ring, a_sink_that_forks_delivers_once)
{
    struct event_ring *ring = fresh();
    struct ear ear = { .ring = ring, .forks = true };
    struct weir_sink sink = { hear, &ear };
    pid_t parent = getpid();
    CHECK(event_ring_push(ring, event_of(0)));
    CHECK(event_ring_push(ring, event_of(1)));
    size_t delivered = event_ring_deliver(ring, &sink, NULL);
    if (getpid() != parent) {
        _exit(delivered == ear.heard && event_ring_deliver(ring, &sink, NULL) == 0 ? 0 : 1);
    }
    CHECK_EQ(delivered, 2);
    for (int i = 0; i < 2; i++) join_child(-1);
    free(ring);
}

/* ---- threads ---- */

#define THREADS 3
#define PUSHES 20000

struct crowd {
    struct event_ring *ring;
    struct weir_sink sink;
    uint64_t last[THREADS]; /* plain: one thread at a time is in the sink */
    uint64_t heard, plain[THREADS];
    uint32_t next;
};

static void hear_crowd(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)pipeline;
    struct crowd *crowd = argument;
    CHECK(event->now_ns > crowd->last[event->policy]);
    CHECK_EQ(event->code, (int32_t)event->now_ns ^ event->policy);
    CHECK(crowd->plain[event->policy] != 0); /* written before the first push */
    crowd->last[event->policy] = event->now_ns;
    crowd->heard++;
}

static void *shout(void *argument)
{
    struct crowd *crowd = argument;
    uint8_t me = (uint8_t)__atomic_fetch_add(&crowd->next, 1, __ATOMIC_RELAXED);
    crowd->plain[me] = 1;
    for (uint64_t n = 1; n <= PUSHES; n++) {
        struct weir_event event = { .policy = me, .code = (int32_t)n ^ me, .now_ns = n };
        event_ring_push(crowd->ring, event);
        if (n % 3 == 0) event_ring_deliver(crowd->ring, &crowd->sink, NULL);
    }
    event_ring_deliver(crowd->ring, &crowd->sink, NULL);
    return NULL;
}

TEST(event_ring, nothing_is_lost_or_torn)
{
    struct crowd crowd = { .ring = fresh() };
    crowd.sink = (struct weir_sink) { hear_crowd, &crowd };
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, shout, &crowd), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    while (event_ring_deliver(crowd.ring, &crowd.sink, NULL) > 0) continue;
    CHECK_EQ(crowd.heard + event_ring_dropped(crowd.ring), THREADS * PUSHES);
    free(crowd.ring);
}

/* One event at a time: whoever pushed last must not find it still there when all have left. */
struct pair {
    struct event_ring *ring;
    struct weir_sink sink;
    pthread_barrier_t barrier;
    uint64_t heard;
};

static void hear_pair(void *argument, const struct weir_pipeline *pipeline, const struct weir_event *event)
{
    (void)pipeline;
    (void)event;
    ((struct pair *)argument)->heard++;
}

#define ROUNDS 4000

static void *push_and_deliver(void *argument)
{
    struct pair *pair = argument;
    for (int round = 1; round <= ROUNDS; round++) {
        while (!event_ring_push(pair->ring, event_of(1))) continue;
        event_ring_deliver(pair->ring, &pair->sink, NULL);
        pthread_barrier_wait(&pair->barrier);
        CHECK_EQ(pair->heard, 2 * round);
        pthread_barrier_wait(&pair->barrier);
    }
    return NULL;
}

TEST(event_ring, whoever_leaves_is_taken_care_of)
{
    struct pair pair = { .ring = fresh() };
    pair.sink = (struct weir_sink) { hear_pair, &pair };
    pthread_barrier_init(&pair.barrier, NULL, 2);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, push_and_deliver, &pair), 0);
    push_and_deliver(&pair);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&pair.barrier);
    free(pair.ring);
}
