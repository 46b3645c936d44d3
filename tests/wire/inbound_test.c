/* Headers of a request: names, several deadlines, duplicates in any order, and the context that comes of them. */
#include "wire/wire_words.h"

#include <pthread.h>

static const char grpc[] = "grpc-timeout", envoy[] = "x-envoy-expected-rq-timeout-ms",
                  parent[] = "traceparent";

TEST(wire_inbound, names_are_compared_without_case_and_others_are_ignored)
{
    struct weir_wire wire = fresh();
    struct weir_wire_stats before = weir_wire_stats();
    CHECK_EQ(give(&wire, "GRPC-Timeout", "5S"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(weir_wire_deadline(&wire, START), START + 5 * WEIR_S);
    static const char *const others[] = { "", "grpc-timeou", "grpc-timeout2", "grpc_timeout", "grpc\rtimeout",
        "timeout", "x-envoy-upstream-rq-timeout-ms", "host", " grpc-timeout" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK_EQ(give(&wire, others[i], "\r\n not ours"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "X-Envoy-Expected-RQ-Timeout-MS", "1"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "TraceParent", PARENT), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(weir_wire_deadline(&wire, START), START + WEIR_MS);
    CHECK_EQ(wire.trace.trace_id[0], 0x4b);
    struct weir_wire_stats after = weir_wire_stats();
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK_EQ(weir_wire_header(&wire, NULL, 0, NULL, 0), WEIR_WIRE_REFUSED_NONE);
}

TEST(wire_inbound, the_smallest_deadline_wins_whatever_the_order)
{
    static const char *const names[] = { grpc, envoy, grpc, envoy };
    static const char *const values[] = { "5S", "300", "200m", "0" };
    for (int first = 0; first < 4; first++) {
        struct weir_wire wire = fresh();
        CHECK_EQ(weir_wire_deadline(&wire, START), WEIR_NEVER);
        for (int i = 0; i < 4; i++) (void)give(&wire, names[(first + i) % 4], values[(first + i) % 4]);
        CHECK_EQ(weir_wire_deadline(&wire, START), START + 200 * WEIR_MS);
    }
}

/* To drop both would give the request more time than either. */
TEST(wire_inbound, of_a_deadline_given_twice_the_smaller_counts_and_the_second_is_counted)
{
    for (int order = 0; order < 2; order++) {
        struct weir_wire wire = fresh();
        uint64_t before = weir_wire_stats().refused[WEIR_WIRE_REFUSED_DUPLICATE];
        CHECK_EQ(give(&wire, grpc, order == 0 ? "1S" : "9S"), WEIR_WIRE_REFUSED_NONE);
        CHECK_EQ(give(&wire, grpc, order == 0 ? "9S" : "1S"), WEIR_WIRE_REFUSED_DUPLICATE);
        CHECK_EQ(weir_wire_deadline(&wire, START), START + WEIR_S);
        CHECK_EQ(weir_wire_stats().refused[WEIR_WIRE_REFUSED_DUPLICATE], before + 1);
        CHECK_EQ(
            give(&wire, grpc, "bad"), WEIR_WIRE_REFUSED_SYNTAX); /* and takes nothing of the others away */
        CHECK_EQ(weir_wire_deadline(&wire, START), START + WEIR_S);
    }
}

TEST(wire_inbound, of_a_traceparent_given_twice_none_counts)
{
    const char *const second = "00-11111111111111111111111111111111-2222222222222222-01";
    const char *const values[][3] = { { PARENT, second, "" }, { PARENT, PARENT, "" }, { "bad", PARENT, "" },
        { PARENT, "bad", "" }, { PARENT, second, PARENT } };
    const struct weir_trace none = { .flags = 0 };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct weir_wire wire = fresh();
        for (int j = 0; j < 3 && values[i][j][0] != '\0'; j++) {
            enum weir_wire_refusal refusal = give(&wire, parent, values[i][j]);
            CHECK_EQ(refusal == WEIR_WIRE_REFUSED_NONE, j == 0 && values[i][j][0] == '0');
        }
        CHECK(memcmp(&wire.trace, &none, sizeof none) == 0);
    }
}

TEST(wire_inbound, what_it_waited_for_is_spent)
{
    struct weir_wire wire = fresh();
    CHECK_EQ(give(&wire, grpc, "100m"), WEIR_WIRE_REFUSED_NONE);
    struct weir_context context;
    weir_wire_context(&context, NULL, &wire, START, NULL); /* 60 ms later there are 40 left */
    CHECK_EQ(weir_context_check(&context, START + 60 * WEIR_MS), WEIR_OK);
    CHECK_EQ(weir_context_check(&context, START + 100 * WEIR_MS), WEIR_EXPIRED);
}

TEST(wire_inbound, a_limit_of_ours_holds_whatever_they_say)
{
    static const char *const values[] = { NULL, "1H", "99999999H", "bad" };
    for (size_t i = 0; i < 4; i++) {
        struct weir_wire wire;
        weir_wire_init(&wire, WEIR_CONFIG(weir_wire_config, .max_ns = 2 * WEIR_S));
        if (values[i] != NULL) (void)give(&wire, grpc, values[i]);
        CHECK_EQ(weir_wire_deadline(&wire, START), START + 2 * WEIR_S);
        CHECK_EQ(give(&wire, envoy, "5"), WEIR_WIRE_REFUSED_NONE);
        CHECK_EQ(weir_wire_deadline(&wire, START), START + 5 * WEIR_MS);
    }
}

TEST(wire_inbound, only_what_is_accepted_is_read)
{
    struct weir_wire wire;
    struct weir_wire_stats before = weir_wire_stats();
    weir_wire_init(&wire, WEIR_CONFIG(weir_wire_config, .accept = WEIR_WIRE_GRPC_TIMEOUT));
    CHECK_EQ(give(&wire, parent, PARENT), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, envoy, "bad"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, "baggage", "a=1"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&wire, grpc, "1S"), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(wire.trace.trace_id[0], 0);
    CHECK_EQ(wire.trace.baggage[0].size, 0);
    CHECK_EQ(weir_wire_deadline(&wire, START), START + WEIR_S);
    struct weir_wire_stats after = weir_wire_stats();
    CHECK(memcmp(&before, &after, sizeof before) == 0);
}

/* ---- contexts ---- */

TEST(wire_inbound, a_context_never_outlives_its_parent)
{
    struct weir_context outer, inner;
    struct weir_wire wire = fresh();
    uint64_t clipped = weir_context_stats().clipped;
    weir_context_child(&outer, NULL, START + WEIR_S, NULL);
    weir_wire_context(&inner, &outer, &wire, START, NULL);
    CHECK_EQ(inner.deadline_ns, START + WEIR_S);
    CHECK_EQ(weir_context_stats().clipped, clipped);
    CHECK_EQ(give(&wire, grpc, "5S"), WEIR_WIRE_REFUSED_NONE);
    weir_wire_context(&inner, &outer, &wire, START, NULL);
    CHECK_EQ(inner.deadline_ns, START + WEIR_S);
    CHECK_EQ(weir_context_stats().clipped, clipped + 1);
    CHECK_EQ(give(&wire, envoy, "5"), WEIR_WIRE_REFUSED_NONE);
    weir_wire_context(&inner, &outer, &wire, START, NULL);
    CHECK_EQ(inner.deadline_ns, START + 5 * WEIR_MS);
}

TEST(wire_inbound, a_context_is_canceled_by_its_source)
{
    struct weir_source *source = NULL;
    struct weir_context context;
    struct weir_wire wire = fresh();
    CHECK_EQ(weir_source_create(&source), WEIR_E_NONE);
    weir_wire_context(&context, NULL, &wire, START, source);
    CHECK_EQ(weir_context_check(&context, START), WEIR_OK);
    CHECK(weir_source_cancel(source, 5));
    CHECK_EQ(weir_context_check(&context, START), WEIR_CANCELED);
    weir_source_release(source);
}

TEST(wire_inbound, children_inherit_the_trace)
{
    struct weir_context root, request, step, detached;
    struct weir_wire wire = fresh(), empty = fresh(), only_baggage = fresh();
    CHECK_EQ(give(&wire, parent, PARENT), WEIR_WIRE_REFUSED_NONE);
    CHECK_EQ(give(&only_baggage, "baggage", "a=1"), WEIR_WIRE_REFUSED_NONE);
    CHECK(weir_context_trace(NULL) == NULL);
    weir_context_child(&root, NULL, WEIR_NEVER, NULL);
    CHECK(weir_context_trace(&root) == NULL);
    weir_wire_context(&request, &root, &wire, START, NULL);
    CHECK(weir_context_trace(&request) == &wire.trace);
    weir_context_child(&step, &request, START + WEIR_S, NULL);
    CHECK(weir_context_trace(&step) == &wire.trace);
    weir_wire_context(&step, &request, &empty, START, NULL);
    CHECK(weir_context_trace(&step) == &wire.trace);
    weir_wire_context(&step, &request, &only_baggage, START, NULL);
    CHECK(weir_context_trace(&step) == &only_baggage.trace);
    weir_context_enter(&request); /* with no parent given: the thread's */
    weir_context_child(&step, NULL, WEIR_NEVER, NULL);
    CHECK(weir_context_trace(&step) == &wire.trace);
    weir_context_detached(&detached, WEIR_NEVER, NULL);
    CHECK(weir_context_trace(&detached) == NULL);
    weir_context_leave(&request);
    weir_context_set_trace(&detached, &wire.trace);
    CHECK(weir_context_trace(&detached) == &wire.trace);
}

/* ---- counters and misuse ---- */

enum { THREADS = 20, EACH = 500 }; /* more than have lines of their own */

static void *refuse_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < EACH; i++) {
        struct weir_wire wire = fresh();
        CHECK_EQ(give(&wire, grpc, "bad"), WEIR_WIRE_REFUSED_SYNTAX);
        CHECK_EQ(give(&wire, grpc, "1S\n"), WEIR_WIRE_REFUSED_CONTROL);
    }
    return NULL;
}

TEST(wire_inbound, counters_are_exact)
{
    pthread_t threads[THREADS];
    struct weir_wire_stats before = weir_wire_stats();
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, refuse_many, NULL), 0);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    struct weir_wire_stats after = weir_wire_stats();
    CHECK_EQ(
        after.refused[WEIR_WIRE_REFUSED_SYNTAX] - before.refused[WEIR_WIRE_REFUSED_SYNTAX], THREADS * EACH);
    CHECK_EQ(
        after.refused[WEIR_WIRE_REFUSED_CONTROL] - before.refused[WEIR_WIRE_REFUSED_CONTROL], THREADS * EACH);
    CHECK_EQ(after.refused[WEIR_WIRE_REFUSED_NONE], 0);
}

TEST(wire_inbound, texts)
{
    CHECK_STR(weir_wire_refusal_text(WEIR_WIRE_REFUSED_CONTROL), "a control character");
    CHECK_STR(weir_wire_refusal_text(WEIR_WIRE_REFUSALS), "?");
    CHECK_STR(weir_wire_refusal_text((enum weir_wire_refusal) - 1), "?");
}

TEST(wire_inbound, misuse)
{
    struct weir_wire wire = fresh();
    struct weir_context context;
    struct weir_wire_config unknown = { .size = 3 };
    CHECK_ABORTS(weir_wire_init(NULL, NULL), "weir: weir_wire_init: wire is NULL");
    CHECK_ABORTS(weir_wire_init(&wire, &unknown), "weir: weir_wire_init: config.size is unknown");
    CHECK_ABORTS((void)give(NULL, grpc, "1S"), "weir: weir_wire_header: wire is NULL");
    CHECK_ABORTS((void)weir_wire_header(&wire, NULL, 1, "", 0), "weir: weir_wire_header: name is NULL");
    CHECK_ABORTS((void)weir_wire_header(&wire, grpc, 12, NULL, 1), "weir: weir_wire_header: value is NULL");
    CHECK_ABORTS(weir_wire_deadline(NULL, 1), "weir: weir_wire_deadline: wire is NULL");
    CHECK_ABORTS(weir_wire_context(NULL, NULL, &wire, 1, NULL), "weir: weir_wire_context: context is NULL");
    CHECK_ABORTS(weir_wire_context(&context, NULL, NULL, 1, NULL), "weir: weir_wire_context: wire is NULL");
    CHECK_ABORTS(weir_context_set_trace(NULL, NULL), "weir: weir_context_set_trace: context is NULL");
}
