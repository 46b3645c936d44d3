/* One thread and a plain epoll loop drive hundreds of guarded calls.
 *
 *     timerfd    the earliest instant at which a call wants to be looked at   --> weir_call_wake()
 *     eventfd    wakers: a permit came, a context was canceled                --> weir_call_wake()
 *     sockets    the server's answers                                         --> weir_call_settle()
 *
 * Each of these three, and weir_call_begin(), answers the call's next step, and take() does what it says. That
 * is all a driver is. The pipeline is the standard one with a queue: timeout, retry, breaker, bulkhead, timeout
 * of the attempt. The bulkhead has as many permits as there are connections, so a call that may run finds one
 * free: permits last until the work has really ended. */
#include "epoll-server.h"
#include "expect.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

enum { REQUESTS = 400, CONNECTIONS = 16, ARRIVALS = 4 /* every millisecond */ };

struct loop;

/* What epoll hands back: who is to be called. */
struct handler {
    void (*ready)(struct loop *loop, struct handler *handler);
    int fd;
};

struct connection {
    struct handler handler;
    struct request *request; /* whose attempt it carries; NULL: free */
    uint32_t serial;         /* of the question that is out */
    bool stopped;            /* the server was told that nobody waits for the answer */
};

struct request {
    struct weir_call call; /* lives as long as anything of the call is left */
    struct weir_context context;
    struct weir_watch watch;
    struct loop *loop;
    struct connection *connection; /* that carries its attempt, abandoned or not */
    uint32_t index, attempt;
    bool done, gone;        /* it has its outcome; and nothing of it runs any more */
    size_t place;           /* in the heap, from 1; 0: not there */
    uint64_t due_ns;        /* when to look at it */
    atomic_bool posted;     /* it is in the ready list */
    struct request *behind; /* the next one there */
};

struct loop {
    struct weir_pipeline *pipeline;
    struct weir_source *group; /* of the requests that are canceled together */
    int epoll;
    struct handler timer, waker, arrivals;
    struct connection connections[CONNECTIONS];
    uint64_t now_ns; /* one look at the clock for each turn */
    uint64_t timer_ns;
    _Atomic(struct request *) ready;
    struct request *heap[REQUESTS + 1];
    size_t timed;
    uint32_t begun, gone, answers[WEIR_STATUSES];
    struct request requests[REQUESTS];
};

/* ---- timers: a binary heap with at most one entry for a request ---- */

static void put(struct loop *loop, size_t place, struct request *request)
{
    loop->heap[place] = request;
    request->place = place;
}

static void sift(struct loop *loop, size_t place, struct request *request)
{
    while (place > 1 && loop->heap[place / 2]->due_ns > request->due_ns) {
        put(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    for (size_t child; (child = 2 * place) <= loop->timed; place = child) {
        if (child < loop->timed && loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns) child++;
        if (loop->heap[child]->due_ns >= request->due_ns) break;
        put(loop, place, loop->heap[child]);
    }
    put(loop, place, request);
}

/* WEIR_NEVER: there is nothing to look for. */
static void look_at(struct request *request, uint64_t due_ns)
{
    struct loop *loop = request->loop;
    request->due_ns = due_ns;
    if (due_ns != WEIR_NEVER) {
        sift(loop, request->place != 0 ? request->place : ++loop->timed, request);
    } else if (request->place != 0) {
        size_t place = request->place;
        struct request *last = loop->heap[loop->timed--];
        request->place = 0;
        if (last != request) sift(loop, place, last);
    }
}

static void set_timer(struct loop *loop)
{
    uint64_t due_ns = loop->timed != 0 ? loop->heap[1]->due_ns : 0; /* 0 disarms */
    if (due_ns == loop->timer_ns) return;
    loop->timer_ns = due_ns;
    struct itimerspec at = { .it_value = { (time_t)(due_ns / WEIR_S), (long)(due_ns % WEIR_S) } };
    EXPECT(timerfd_settime(loop->timer.fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
}

/* ---- wakers: from any thread, here mostly from within another call's settle ---- */

static void post(void *argument)
{
    struct request *request = argument;
    struct loop *loop = request->loop;
    if (atomic_exchange(&request->posted, true)) return;
    struct request *first = atomic_load(&loop->ready);
    do request->behind = first;
    while (!atomic_compare_exchange_weak(&loop->ready, &first, request));
    if (first == NULL) eventfd_write(loop->waker.fd, 1);
}

/* ---- the operation: a question over a free connection ---- */

/* What the server is asked to do: five in eight answer, the others fail once, are silent once, or are slow. */
static struct question question_of(const struct request *request)
{
    struct question question = { .wait_ms = 1 + request->index % 4 };
    bool first = request->attempt == 1;
    if (request->index % 8 == 4 && first) question.error = EIO;
    if (request->index % 8 == 5 && first) question.error = SILENT;
    if (request->index % 8 == 6) question.wait_ms = 20;
    return question;
}

static void start_operation(struct request *request, struct weir_step step)
{
    struct loop *loop = request->loop;
    struct connection *connection = loop->connections;
    while (connection < loop->connections + CONNECTIONS && connection->request != NULL) connection++;
    EXPECT(connection < loop->connections + CONNECTIONS); /* the bulkhead sees to it */
    connection->request = request;
    connection->stopped = false;
    request->connection = connection;
    request->attempt = step.attempt;
    struct question question = question_of(request);
    question.serial = ++connection->serial;
    EXPECT(write(connection->handler.fd, &question, sizeof question) == sizeof question);
}

/* The attempt was abandoned: its answer is of no use, but the permit stays taken until it comes. */
static void stop_operation(struct request *request)
{
    struct connection *connection = request->connection;
    if (connection->stopped) return;
    connection->stopped = true;
    struct question stop = { .serial = connection->serial, .error = STOP };
    EXPECT(write(connection->handler.fd, &stop, sizeof stop) == sizeof stop);
}

/* ---- the driver ---- */

static void finish(struct request *request, struct weir_step step)
{
    struct loop *loop = request->loop;
    if (!request->done) { /* here a server would answer its client */
        weir_context_unwatch(&request->watch);
        request->done = true;
        loop->answers[weir_call_outcome(&request->call).status]++;
    }
    if (step.pending != 0 || request->gone) return;
    request->gone = true; /* and here its memory may go */
    loop->gone++;
}

static void take(struct request *request, struct weir_step step)
{
    if ((step.abandon_mask & WEIR_ABANDONED_OPERATION) != 0) stop_operation(request);
    switch ((enum weir_action)step.action) {
    case WEIR_RUN:
        EXPECT(step.what == WEIR_OPERATION); /* no fallback function is in this pipeline */
        start_operation(request, step);
        look_at(request, step.at_ns);
        break;
    case WEIR_WAIT: look_at(request, step.at_ns); break;
    case WEIR_DONE:
        look_at(request, WEIR_NEVER);
        finish(request, step);
        break;
    }
}

static void wake(struct request *request)
{
    if (request->gone) return; /* posted just before its end */
    take(request, weir_call_wake(&request->call, request->loop->now_ns));
}

static void begin(struct loop *loop)
{
    struct request *request = &loop->requests[loop->begun];
    *request = (struct request) { .loop = loop, .index = loop->begun++ };
    bool hasty = request->index % 8 == 7, grouped = request->index % 8 == 6;
    uint64_t deadline_ns = loop->now_ns + (hasty ? 10 * WEIR_MS : 10 * WEIR_S);
    weir_context_child(&request->context, NULL, deadline_ns, grouped ? loop->group : NULL);
    struct weir_waker waker = { post, request };
    weir_context_watch(&request->watch, &request->context, waker);
    take(request,
        weir_call_begin(&request->call, loop->pipeline,
            WEIR_CONFIG(weir_call_options, .context = &request->context, .waker = waker, .idempotent = true),
            loop->now_ns));
}

static void hang_up(struct request *request)
{
    if (!request->done) take(request, weir_call_cancel(&request->call, request->loop->now_ns));
}

/* ---- what epoll says ---- */

static void on_timer(struct loop *loop, struct handler *handler)
{
    uint64_t times;
    (void)!read(handler->fd, &times, sizeof times);
    loop->timer_ns = 0;
    while (loop->timed != 0 && loop->heap[1]->due_ns <= loop->now_ns) {
        struct request *request = loop->heap[1];
        look_at(request, WEIR_NEVER);
        wake(request);
    }
}

static void on_posted(struct loop *loop, struct handler *handler)
{
    eventfd_t posts;
    eventfd_read(handler->fd, &posts);
    struct request *request = atomic_exchange(&loop->ready, NULL);
    while (request != NULL) {
        struct request *behind = request->behind; /* it may be posted again at once */
        atomic_store(&request->posted, false);
        wake(request);
        request = behind;
    }
}

static void on_answer(struct loop *loop, struct handler *handler)
{
    struct connection *connection = (struct connection *)handler; /* its first member */
    struct request *request = connection->request;
    struct answer answer;
    EXPECT(read(handler->fd, &answer, sizeof answer) == sizeof answer);
    EXPECT(request != NULL && answer.serial == connection->serial);
    connection->request = NULL; /* free, before the next call is let in */
    request->connection = NULL;
    take(request,
        weir_call_settle(&request->call, request->attempt, weir_from_errno(answer.error), loop->now_ns));
}

static void on_arrivals(struct loop *loop, struct handler *handler)
{
    uint64_t ticks = 0;
    (void)!read(handler->fd, &ticks, sizeof ticks);
    for (uint64_t i = 0; i < ticks * ARRIVALS && loop->begun < REQUESTS; i++) {
        begin(loop);
        if (loop->begun % 50 == 0) hang_up(&loop->requests[loop->begun - 10]);
        if (loop->begun == REQUESTS / 2) weir_source_cancel(loop->group, 1);
    }
    if (loop->begun < REQUESTS) return;
    EXPECT(epoll_ctl(loop->epoll, EPOLL_CTL_DEL, handler->fd, NULL) == 0);
}

static void run(struct loop *loop)
{
    while (loop->gone < REQUESTS) {
        struct epoll_event events[32];
        set_timer(loop);
        int count = epoll_wait(loop->epoll, events, 32, -1);
        loop->now_ns = weir_now(WEIR_TIMING_PRECISE);
        for (int i = 0; i < count; i++) {
            struct handler *handler = events[i].data.ptr;
            handler->ready(loop, handler);
        }
        weir_pipeline_deliver(loop->pipeline); /* to its sink, if it had one */
    }
}

/* ---- setting up, and what must hold at the end ---- */

static void add(
    struct loop *loop, struct handler *handler, int fd, void (*ready)(struct loop *, struct handler *))
{
    EXPECT(fd >= 0);
    *handler = (struct handler) { ready, fd };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = handler };
    EXPECT(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void set_up(struct loop *loop, const int *sockets)
{
    EXPECT(weir_pipeline_standard(
               WEIR_CONFIG(weir_standard_config, .name = "server", .deadline_ns = 1500 * WEIR_MS,
                   .attempt_ns = 100 * WEIR_MS, .concurrency = CONNECTIONS, .queue = REQUESTS),
               &loop->pipeline) == WEIR_E_NONE);
    EXPECT(weir_source_create(&loop->group) == WEIR_E_NONE);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    EXPECT(loop->epoll >= 0);
    add(loop, &loop->timer, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), on_timer);
    add(loop, &loop->waker, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), on_posted);
    add(loop, &loop->arrivals, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), on_arrivals);
    for (int i = 0; i < CONNECTIONS; i++) add(loop, &loop->connections[i].handler, sockets[i], on_answer);
    struct itimerspec each_ms = { { 0, 1000000 }, { 0, 1000000 } };
    EXPECT(timerfd_settime(loop->arrivals.fd, 0, &each_ms, NULL) == 0);
}

static void check_end(struct loop *loop)
{
    struct weir_pipeline_stats stats = weir_pipeline_stats(loop->pipeline);
    struct weir_retry_stats retry = weir_retry_stats(weir_pipeline_policy(loop->pipeline, 1));
    struct weir_bulkhead_stats bulkhead = weir_bulkhead_stats(weir_pipeline_policy(loop->pipeline, 3));
    uint64_t ended = 0;
    for (int i = 0; i < WEIR_STATUSES; i++) {
        EXPECT(loop->answers[i] == stats.ended[i]);
        if (stats.ended[i] != 0)
            printf("%s: %d\n", weir_status_text((enum weir_status)i), (int)stats.ended[i]);
        ended += stats.ended[i];
    }
    printf("attempts: %d, retried: %d, abandoned: %d, queued: %d\n", (int)stats.attempts, (int)retry.retried,
        (int)stats.abandoned, (int)bulkhead.queued);
    EXPECT(stats.begun == REQUESTS && ended == REQUESTS);
    EXPECT(stats.in_flight == 0 && stats.zombies == 0 && bulkhead.in_use == 0 && bulkhead.waiting == 0);
    EXPECT(bulkhead.queued == bulkhead.handed_over + bulkhead.left);
    for (int i = 0; i < REQUESTS; i++) EXPECT(loop->requests[i].gone && loop->requests[i].place == 0);
    /* Each kind of end was there. */
    EXPECT(stats.ended[WEIR_OK] > 0 && stats.ended[WEIR_EXPIRED] > 0 && stats.ended[WEIR_CANCELED] > 0);
    EXPECT(retry.recovered > 0 && stats.abandoned > 0 && bulkhead.handed_over > 0);
}

int main(void)
{
    static struct loop loop;
    int sockets[CONNECTIONS], status;
    pid_t server = server_start(sockets, CONNECTIONS);
    set_up(&loop, sockets);
    run(&loop);
    check_end(&loop);
    EXPECT(weir_pipeline_drain(loop.pipeline, 0) == WEIR_E_NONE); /* nothing is left to wait for */
    weir_pipeline_destroy(loop.pipeline);
    weir_source_release(loop.group);
    for (int i = 0; i < CONNECTIONS; i++) close(sockets[i]);
    EXPECT(waitpid(server, &status, 0) == server && status == 0);
    return 0;
}
