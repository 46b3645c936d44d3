/* The multi driver in an event loop of the user's: curl_multi_socket_action() and epoll. */
#include "curl/guard.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MANY = 200, PERMITS = 8 };

struct loop {
    CURLM *multi;
    struct weir_curl_multi *guarded;
    struct weir_pipeline *pipeline;
    struct origin *origin;
    int epoll;
    uint64_t curl_ns; /* when libcurl wants to be called; WEIR_NEVER: not */
    uint32_t told, by_status[WEIR_STATUSES];
    CURL *easy[MANY];
    struct weir_curl_body body[MANY];
};

/* libcurl's: what to watch a socket for. */
static int watch(CURL *easy, curl_socket_t socket, int what, void *argument, void *known)
{
    struct loop *loop = argument;
    struct epoll_event event = { .data.fd = socket };
    (void)easy;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) event.events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) event.events |= EPOLLOUT;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, socket, NULL);
        return 0;
    }
    CHECK_EQ(epoll_ctl(loop->epoll, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event), 0);
    curl_multi_assign(loop->multi, socket, loop);
    return 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *argument)
{
    struct loop *loop = argument;
    (void)multi;
    loop->curl_ns =
        timeout_ms < 0 ? WEIR_NEVER : weir_now(WEIR_TIMING_PRECISE) + (uint64_t)timeout_ms * WEIR_MS;
    return 0;
}

static void done(void *argument, CURL *easy, struct weir_outcome outcome)
{
    struct loop *loop = argument;
    (void)easy;
    loop->told++;
    loop->by_status[outcome.status]++;
}

static int sleep_ms(const struct loop *loop)
{
    int guarded_ms = weir_curl_multi_timeout_ms(loop->guarded);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);
    if (loop->curl_ns == WEIR_NEVER) return guarded_ms;
    if (loop->curl_ns <= now_ns) return 0;
    uint64_t curl_ms = (loop->curl_ns - now_ns - 1) / WEIR_MS + 1;
    return curl_ms < (uint64_t)guarded_ms ? (int)curl_ms : guarded_ms;
}

static void run(struct loop *loop)
{
    while (loop->told < MANY) {
        struct epoll_event events[16];
        int running, count = epoll_wait(loop->epoll, events, 16, sleep_ms(loop));
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == weir_curl_multi_descriptor(loop->guarded)) continue;
            int ready = (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? CURL_CSELECT_IN : 0) |
                (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
            curl_multi_socket_action(loop->multi, events[i].data.fd, ready, &running);
        }
        if (loop->curl_ns <= weir_now(WEIR_TIMING_PRECISE)) {
            loop->curl_ns = WEIR_NEVER;
            curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        weir_curl_multi_turn(loop->guarded);
    }
}

static void open_loop(struct loop *loop, origin_script *script, uint64_t timeout_ns)
{
    struct weir_policy *order[2];
    *loop = (struct loop) { .multi = curl_multi_init(),
        .origin = origin_start(script, NULL),
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .curl_ns = WEIR_NEVER };
    CHECK_EQ(weir_bulkhead_create(WEIR_CONFIG(weir_bulkhead_config, .limit = PERMITS, .queue = MANY,
                                      .wait_max_ns = 60 * WEIR_S),
                 &order[0]),
        WEIR_E_NONE);
    CHECK_EQ(weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .timeout_ns = timeout_ns), &order[1]),
        WEIR_E_NONE);
    CHECK_EQ(weir_pipeline_create(NULL, order, 2, &loop->pipeline), WEIR_E_NONE);
    for (int i = 0; i < 2; i++) weir_policy_release(order[i]);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, watch);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    CHECK_EQ(weir_curl_multi_create(loop->multi, NULL, &loop->guarded), WEIR_E_NONE);
    int descriptor = weir_curl_multi_descriptor(loop->guarded);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = descriptor };
    CHECK_EQ(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, descriptor, &event), 0);
    for (int i = 0; i < MANY; i++) {
        loop->easy[i] = handle_for(loop->origin, "/");
        CHECK_EQ(weir_curl_multi_start(loop->guarded, loop->pipeline,
                     WEIR_CONFIG(weir_curl_options, .body = &loop->body[i]), loop->easy[i], done, loop),
            WEIR_E_NONE);
    }
}

static void close_loop(struct loop *loop)
{
    CHECK_EQ(weir_pipeline_stats(loop->pipeline).in_flight, 0);
    CHECK_EQ(weir_bulkhead_stats(weir_pipeline_policy(loop->pipeline, 0)).in_use, 0);
    weir_curl_multi_destroy(loop->guarded);
    for (int i = 0; i < MANY; i++) {
        curl_easy_cleanup(loop->easy[i]);
        weir_curl_body_free(&loop->body[i]);
    }
    curl_multi_cleanup(loop->multi);
    weir_pipeline_destroy(loop->pipeline);
    origin_stop(loop->origin);
    close(loop->epoll);
}

static struct origin_answer ok(void *argument, const struct origin_request *request)
{
    (void)argument;
    (void)request;
    return origin_hello(200);
}

TEST(curl_loop, many_through_few_permits)
{
    struct loop loop;
    open_loop(&loop, ok, 60 * WEIR_S);
    run(&loop);
    CHECK_EQ(loop.by_status[WEIR_OK], MANY);
    CHECK_EQ(origin_requests(loop.origin), MANY);
    close_loop(&loop);
}

static struct origin_answer mostly(void *argument, const struct origin_request *request)
{
    (void)argument;
    if (request->number % 20 == 0) return (struct origin_answer) { NULL, ORIGIN_KEEP };
    return origin_hello(200);
}

/* libcurl says nothing of those that are never answered: it is the instant that turn() answered which ends them. */
TEST(curl_loop, deadlines_come_by_themselves)
{
    struct loop loop;
    open_loop(&loop, mostly, WEIR_S);
    run(&loop);
    CHECK_EQ(loop.by_status[WEIR_OK], MANY - MANY / 20);
    CHECK_EQ(loop.by_status[WEIR_EXPIRED], MANY / 20);
    close_loop(&loop);
}
