/* Misuse of a link and its carrier's calls aborts with a message that names the function. */
#include "shared/toy.h"

static struct toy_carrier carrier;
static struct weir_instants now;
static struct weir_ask ask;
static struct weir_answer answer;
static uint64_t instance[2];

static void ignore_error(enum weir_error error)
{
    (void)error;
}

static void make(void)
{
    toy_link(&carrier, 3, true);
}

TEST(links, null)
{
    make();
    struct weir_link *link = carrier.link;
    CHECK_ABORTS(ignore_error(weir_link_create(NULL, NULL)), "weir: weir_link_create: link is NULL");
    CHECK_ABORTS(weir_link_acquire(NULL), "weir: weir_link_acquire: link is NULL");
    CHECK_ABORTS(weir_link_step(NULL, now), "weir: weir_link_step: link is NULL");
    CHECK_ABORTS(weir_link_pull(NULL, 0, 0, now, &ask), "weir: weir_link_pull: link is NULL");
    CHECK_ABORTS(weir_link_pull(link, 0, 0, now, NULL), "weir: weir_link_pull: ask is NULL");
    CHECK_ABORTS(weir_link_answer(NULL, &ask, &answer, now), "weir: weir_link_answer: link is NULL");
    CHECK_ABORTS(weir_link_answer(link, NULL, &answer, now), "weir: weir_link_answer: ticket is NULL");
    CHECK_ABORTS(weir_link_answer(link, &ask, NULL, now), "weir: weir_link_answer: answer is NULL");
    CHECK_ABORTS(weir_link_report(NULL, 0, 0, WEIR_LANE_UP, 1, now), "weir: weir_link_report: link is NULL");
    CHECK_ABORTS(weir_link_close(NULL, now), "weir: weir_link_close: link is NULL");
    CHECK_ABORTS(weir_link_flush(NULL, now), "weir: weir_link_flush: link is NULL");
    CHECK_ABORTS(weir_link_is_flushed(NULL), "weir: weir_link_is_flushed: link is NULL");
    CHECK_ABORTS(weir_link_space(NULL), "weir: weir_link_space: link is NULL");
    CHECK_ABORTS(weir_link_instance(NULL, instance), "weir: weir_link_instance: link is NULL");
    CHECK_ABORTS(weir_link_instance(link, NULL), "weir: weir_link_instance: instance is NULL");
    CHECK_ABORTS(weir_link_carrier(NULL, toy_ring), "weir: weir_link_carrier: link is NULL");
    toy_close(&carrier);
}

TEST(links, what_there_is_not)
{
    make();
    struct weir_link *link = carrier.link;
    enum weir_lane lane = WEIR_LANES;
    CHECK_ABORTS(weir_link_pull(link, 3, 0, now, &ask), "weir: weir_link_pull: there is no such node");
    CHECK_ABORTS(weir_link_pull(link, 0, lane, now, &ask), "weir: weir_link_pull: there is no such lane");
    CHECK_ABORTS(
        weir_link_report(link, 3, 0, WEIR_LANE_UP, 1, now), "weir: weir_link_report: there is no such node");
    CHECK_ABORTS(weir_link_report(link, 0, lane, WEIR_LANE_UP, 1, now),
        "weir: weir_link_report: there is no such lane");
    CHECK_ABORTS(weir_link_report(link, 0, 0, (enum weir_lane_state)3, 1, now),
        "weir: weir_link_report: there is no such state");
    toy_close(&carrier);
}

/* In the child: a link of its own. */
static void ask_and(bool close)
{
    make();
    struct toy *toy = toy_enrol(&carrier, NULL);
    toy_step(&carrier, WEIR_S);
    toy_lane(&carrier, WEIR_LANE_BULK, WEIR_LANE_UP);
    toy_queue(toy, WEIR_LANE_BULK);
    CHECK(toy_pull(&carrier, WEIR_LANE_BULK, &ask));
    if (close) toy_close(&carrier);
    else toy_answer(&carrier, ask.ticket, 1);
    toy_answer(&carrier, ask.ticket, 1);
}

TEST(links, each_question_is_answered_once_and_before_a_close)
{
    CHECK_ABORTS(ask_and(true), "weir: weir_link_close: a question is under way");
    CHECK_ABORTS(ask_and(false), "weir: weir_link_answer: the question is not under way");
}

TEST(links, a_link_that_is_gone)
{
    make();
    struct weir_link gone = { .references = 0 };
    CHECK_ABORTS(weir_link_acquire(&gone), "weir: weir_link_acquire: the link has been released");
    CHECK_ABORTS(weir_link_release(&gone), "weir: weir_link_release: the link has been released before");
    toy_close(&carrier);
}

/* ---- bad input is refused with a text ---- */

static void check_refused(struct weir_link_config config, enum weir_error error, const char *text)
{
    struct weir_link *link = NULL;
    config.size = sizeof config;
    CHECK_EQ(weir_link_create(&config, &link), error);
    CHECK(link == NULL);
    CHECK_STR(weir_error_text(), text);
}

TEST(links, configs)
{
    struct weir_carrier good = { .size = sizeof good, .nodes = 1, .ring = toy_ring };
    struct weir_carrier even = good, none = good, many = good, silent = good, alien = good;
    struct weir_share_sink deaf = { NULL, NULL };
    even.nodes = 2;
    none.nodes = 0;
    many.nodes = WEIR_NODES_MAX + 2;
    silent.ring = NULL;
    alien.size = 3;
#define REFUSED(error, text, ...) \
    check_refused((struct weir_link_config) { .instance = { 1, 0 }, __VA_ARGS__ }, error, text)
    REFUSED(WEIR_E_INVALID, "weir_link_config.carrier is NULL, expected a weir_carrier", .carrier = NULL);
    REFUSED(WEIR_E_INVALID, "weir_carrier.nodes is 2, expected an odd number up to 7", .carrier = &even);
    REFUSED(WEIR_E_INVALID, "weir_carrier.nodes is 0, expected an odd number up to 7", .carrier = &none);
    REFUSED(WEIR_E_INVALID, "weir_carrier.nodes is 9, expected an odd number up to 7", .carrier = &many);
    REFUSED(WEIR_E_INVALID, "weir_carrier.ring is NULL", .carrier = &silent);
    REFUSED(WEIR_E_SIZE, "weir_carrier.size is 3, expected 40 (use WEIR_CONFIG or weir_carrier_init)",
        .carrier = &alien);
    REFUSED(WEIR_E_INVALID, "weir_link_config.sink->event is NULL", .carrier = &good, .sink = &deaf);
    struct weir_link *link = NULL;
    CHECK_EQ(weir_link_create(WEIR_CONFIG(weir_link_config, .carrier = &good), &link), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_link_config.instance is 0, expected what no other process has");
}
