/* Two permits, one place in the queue: the third call waits, the fourth is refused, the third goes on when a
 * permit comes back. Then the same bulkhead alone, and its limit changed while it works. */
#include "expect.h"

#include <pthread.h>
#include <time.h>
#include <weir/weir.h>

struct gate { /* operations wait in front of it */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
};

struct worker {
    pthread_t thread;
    struct weir_pipeline *pipeline;
    struct gate *gate;
    struct weir_outcome outcome;
};

static struct weir_outcome pass_gate(void *argument, const struct weir_attempt *attempt)
{
    struct gate *gate = argument;
    (void)attempt;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open) pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return (struct weir_outcome) { .status = WEIR_OK };
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    worker->outcome = weir_run(worker->pipeline, NULL, pass_gate, worker->gate);
    return NULL;
}

static void wait_until(struct weir_policy *bulkhead, uint32_t in_use, uint32_t waiting)
{
    for (;;) {
        struct weir_bulkhead_stats stats = weir_bulkhead_stats(bulkhead);
        if (stats.in_use == in_use && stats.waiting == waiting) return;
        nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);
    }
}

static void show_the_queue(struct weir_policy *bulkhead, struct weir_pipeline *pipeline)
{
    struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
    struct worker workers[3];
    for (int i = 0; i < 3; i++) {
        workers[i] = (struct worker) { .pipeline = pipeline, .gate = &gate };
        EXPECT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    wait_until(bulkhead, 2, 1);

    struct weir_outcome outcome = weir_run(pipeline, NULL, pass_gate, &gate);
    EXPECT(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_QUEUE_FULL);
    puts(weir_outcome_text((char[160]) { 0 }, 160, pipeline, outcome));

    open_gate(&gate);
    for (int i = 0; i < 3; i++) {
        pthread_join(workers[i].thread, NULL);
        EXPECT(workers[i].outcome.status == WEIR_OK);
    }
    struct weir_bulkhead_stats stats = weir_bulkhead_stats(bulkhead);
    EXPECT(stats.in_use == 0 && stats.waiting == 0);
    EXPECT(stats.queued == 1 && stats.handed_over == 1 && stats.refused_queue_full == 1);
}

/* Alone it does not wait; whoever has a permit gives it back exactly once, from any thread. */
static void show_it_alone(struct weir_policy *bulkhead)
{
    struct weir_permit first, second, third;
    EXPECT(weir_bulkhead_acquire(bulkhead, 1, &first).status == WEIR_OK);
    EXPECT(weir_bulkhead_acquire(bulkhead, 1, &second).status == WEIR_OK);
    EXPECT(weir_bulkhead_acquire(bulkhead, 1, &third).reason == WEIR_REASON_BULKHEAD_FULL);

    EXPECT(weir_bulkhead_set_limit(bulkhead, 1) == WEIR_E_NONE); /* nobody is thrown out */
    weir_bulkhead_release(bulkhead, &first);
    EXPECT(weir_bulkhead_acquire(bulkhead, 1, &third).status == WEIR_REJECTED);
    weir_bulkhead_release(bulkhead, &second);
    EXPECT(weir_bulkhead_acquire(bulkhead, 1, &third).status == WEIR_OK);
    weir_bulkhead_release(bulkhead, &third);
}

int main(void)
{
    struct weir_policy *bulkhead;
    struct weir_pipeline *pipeline;
    EXPECT(weir_bulkhead_create(
               WEIR_CONFIG(weir_bulkhead_config, .limit = 2, .queue = 1, .wait_max_ns = 30 * WEIR_S),
               &bulkhead) == WEIR_E_NONE);
    EXPECT(weir_pipeline_create(NULL, &bulkhead, 1, &pipeline) == WEIR_E_NONE);
    show_the_queue(bulkhead, pipeline);
    show_it_alone(bulkhead);
    weir_policy_release(bulkhead);
    weir_pipeline_destroy(pipeline);
    return 0;
}
