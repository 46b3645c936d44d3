/* A shared breaker against answers made by hand. */
#include "shared/fleet_words.h"

/* Places in a question and an answer (weir/transport.h). */
enum {
    Q_SEQUENCE,
    Q_EPOCH,
    Q_STATE,
    Q_LEFT,
    Q_LEVEL,
    Q_GOOD,
    Q_BAD,
    Q_SLOW,
    Q_VOTE,
    Q_WANT,
    Q_WON,
    Q_LOST,
    Q_HOLDS
};
enum { Q_PRESENCE = 25, QUESTION = 26 };
enum { CLOSED_NOW, OPEN_NOW, HALF_OPEN_NOW };

#define CONFIG                                                                                       \
    WEIR_CONFIG(weir_breaker_config, .jitter_percent = WEIR_OFF32, .ramp_ns = WEIR_OFF, .probes = 2, \
        .probe_ns = WEIR_S)

static struct instance instance;
static struct weir_ask ask;
static uint64_t now = START;

static struct breaker_state *state(void)
{
    return instance.breaker->state;
}

static void begin(void)
{
    join(&instance, 1, CONFIG);
    report_lane(&instance, WEIR_LANE_UP, now);
    CHECK(pull(&instance, &ask, now));
}

static void answer(int64_t epoch, int64_t fleet, int64_t left_ms, int64_t probes)
{
    struct weir_answer answer = {
        .kind = WEIR_ANSWER_DONE, .count = 9, .number = { epoch, fleet, left_ms, probes, 3, 2, 20, 15, 1 }
    };
    weir_link_answer(instance.link, ask.ticket, &answer, at(now));
}

static void answer_kind(enum weir_answer_kind kind, int count, int64_t first)
{
    struct weir_answer answer = { .kind = (uint8_t)kind, .count = (uint8_t)count, .number = { first } };
    weir_link_answer(instance.link, ask.ticket, &answer, at(now));
}

/* The next question, one sync later. */
static const int64_t *next(void)
{
    now += SYNC;
    CHECK(pull(&instance, &ask, now));
    return ask.number;
}

static struct weir_breaker_stats stats(void)
{
    return weir_breaker_stats(instance.breaker, now);
}

static void calls(int count, enum weir_status status)
{
    for (int i = 0; i < count; i++) CHECK(call(&instance, status, now));
}

TEST(fleet_breaker, tells_what_its_window_holds)
{
    begin();
    CHECK_EQ(ask.kind, WEIR_ASK_BREAKER);
    CHECK_EQ(ask.count, QUESTION);
    CHECK_EQ(ask.id[0], 1);
    CHECK_EQ(ask.number[Q_SEQUENCE], 1);
    answer(0, CLOSED_NOW, 0, 0);
    calls(6, WEIR_OK);
    calls(4, WEIR_FAILED);
    const int64_t first[] = { 2, 0, CLOSED_NOW, 0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 10, 50, 30, 0, 0, 30, 1000,
        30000, 0, 2, 2, 3000, 4000 };
    const int64_t *asked = (now += WEIR_S, next());
    for (int i = 0; i < QUESTION; i++) CHECK_EQ(asked[i], first[i]);
    answer(0, CLOSED_NOW, 0, 0);
    CHECK_EQ(next()[Q_BAD], 4); /* absolute: told again */
    answer(0, CLOSED_NOW, 0, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, a_local_trip_is_a_vote_while_its_window_shows_it)
{
    begin();
    answer(0, CLOSED_NOW, 0, 0);
    calls(5, WEIR_FAILED);
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    now += WEIR_S;
    CHECK_EQ(next()[Q_VOTE], 1);
    answer(0, CLOSED_NOW, 0, 0);
    now += WEIR_S;
    CHECK(call(&instance, WEIR_OK, now)); /* it heals by itself */
    CHECK(call(&instance, WEIR_OK, now));
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(next()[Q_VOTE], 1);
    answer(0, CLOSED_NOW, 0, 0);
    now += 10 * WEIR_S;
    CHECK_EQ(next()[Q_VOTE], 0);
    answer(0, CLOSED_NOW, 0, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, the_rates_vote_too)
{
    begin();
    answer(0, CLOSED_NOW, 0, 0);
    weir_policy_set_mode(instance.breaker, WEIR_MODE_FORCED_CLOSED);
    calls(40, WEIR_FAILED);
    now += WEIR_S;
    CHECK_EQ(next()[Q_VOTE], 1);
    answer(0, CLOSED_NOW, 0, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, a_greater_epoch_opens_and_closes)
{
    begin();
    calls(3, WEIR_FAILED);
    answer(7, OPEN_NOW, 500, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    CHECK(word_is_fleets(word_now(&instance)));
    CHECK_EQ(stats().opened, 1);
    CHECK_EQ(instance.opened, 1);
    CHECK(!call(&instance, WEIR_OK, now));
    CHECK_EQ(next()[Q_EPOCH], 7);
    CHECK_EQ(ask.number[Q_STATE], OPEN_NOW);
    CHECK_EQ(ask.number[Q_LEFT], 400);
    CHECK_EQ(ask.number[Q_LEVEL], 1);
    CHECK_EQ(ask.number[Q_BAD], 0); /* of the former epoch */
    answer(8, CLOSED_NOW, 0, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(instance.closed, 1);
    CHECK_EQ(state()->turn, 0);
    CHECK_EQ(weir_share_stats(instance.breaker).epoch, 8);
    CHECK_EQ(weir_share_stats(instance.breaker).tripped, 1);
    CHECK_EQ(weir_share_stats(instance.breaker).instances, 3);
    drop(&instance, now);
}

TEST(fleet_breaker, no_answer_opens_it_for_longer_than_its_own_config_would)
{
    begin();
    answer(1, OPEN_NOW, 3600000, 0);
    CHECK(!call(&instance, WEIR_OK, now));
    CHECK_EQ(next()[Q_LEFT], 30000 - (int64_t)(SYNC / WEIR_MS));
    answer_kind(WEIR_ANSWER_ERROR, 0, 0);
    now += 30 * WEIR_S;
    CHECK(call(&instance, WEIR_OK, now));
    drop(&instance, now);
}

TEST(fleet_breaker, what_comes_late_changes_nothing)
{
    begin();
    answer(7, CLOSED_NOW, 0, 0);
    uint64_t word = word_now(&instance);
    now += WEIR_S;
    next();
    answer(6, OPEN_NOW, 500, 0);
    CHECK_EQ(word_now(&instance), word);
    now += WEIR_S;
    next();
    answer(7, OPEN_NOW, 500, 0);
    CHECK_EQ(word_now(&instance), word);
    now += WEIR_S;
    next();
    answer_kind(WEIR_ANSWER_DONE, 1, -1); /* an old question was answered */
    CHECK_EQ(word_now(&instance), word);
    CHECK_EQ(weir_share_state(instance.breaker), WEIR_SHARE_SHARED);
    drop(&instance, now);
}

TEST(fleet_breaker, it_waits_for_its_turn_and_asks_for_it)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    now += WEIR_MS;
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN); /* due, but not its turn */
    CHECK(!call(&instance, WEIR_OK, now));
    CHECK_EQ(next()[Q_WANT], 1);
    answer(1, OPEN_NOW, 0, 0);
    CHECK_EQ(next()[Q_WANT], 0);
    answer(2, HALF_OPEN_NOW, 3000, 2);
    struct weir_permit one, two, three;
    CHECK(enter(&instance, &one, now));
    CHECK(enter(&instance, &two, now));
    CHECK(!enter(&instance, &three, now));
    leave(&instance, &one, WEIR_OK, now);
    CHECK_EQ(next()[Q_WON], 1);
    CHECK_EQ(ask.number[Q_HOLDS], 1);
    answer(2, HALF_OPEN_NOW, 2900, 2);
    leave(&instance, &two, WEIR_OK, now);
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED); /* its own successes are enough */
    CHECK_EQ(next()[Q_WON], 2);
    CHECK_EQ(ask.number[Q_LOST], 0);
    answer(3, CLOSED_NOW, 0, 0);
    CHECK_EQ(stats().closed, 1);
    drop(&instance, now);
}

TEST(fleet_breaker, a_failed_probe_is_told)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    next();
    answer(2, HALF_OPEN_NOW, 3000, 2);
    CHECK(call(&instance, WEIR_FAILED, now));
    CHECK_EQ(next()[Q_LOST], 1);
    CHECK_EQ(ask.number[Q_WON], 0);
    answer(3, OPEN_NOW, 2000, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    CHECK(stats().until_ns >= now + 2 * WEIR_S);
    drop(&instance, now);
}

TEST(fleet_breaker, an_unused_turn_is_given_back)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    next();
    answer(2, HALF_OPEN_NOW, 3000, 2);
    CHECK(call(&instance, WEIR_OK, now)); /* one of two */
    for (uint64_t given = now; next(), now < given + WEIR_S;) answer(2, HALF_OPEN_NOW, 2000, 2);
    CHECK_EQ(ask.number[Q_HOLDS], 0);
    CHECK_EQ(ask.number[Q_WON], 1);
    CHECK(!call(&instance, WEIR_OK, now)); /* its turn is over, though nobody has another */
    answer(2, HALF_OPEN_NOW, 0, 0);
    CHECK_EQ(next()[Q_WANT], 1);
    answer(2, HALF_OPEN_NOW, 3000, 2);
    CHECK(call(&instance, WEIR_OK, now)); /* the second */
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    drop(&instance, now);
}

/* It may yet succeed: nobody else has the turn before it has ended. */
TEST(fleet_breaker, a_turn_is_kept_while_its_probe_is_out)
{
    struct weir_permit late;
    begin();
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    next();
    answer(2, HALF_OPEN_NOW, 3000, 2);
    uint64_t given = now;
    while (now < given + WEIR_S - SYNC) next(), answer(2, HALF_OPEN_NOW, 2000, 2);
    CHECK(enter(&instance, &late, now));
    while (next(), now < given + WEIR_S + SYNC) answer(2, HALF_OPEN_NOW, 2000, 2);
    CHECK_EQ(ask.number[Q_HOLDS], 1); /* though it is not used any more */
    CHECK(!call(&instance, WEIR_OK, now));
    answer(2, HALF_OPEN_NOW, 2000, 2);
    leave(&instance, &late, WEIR_FAILED, now);
    CHECK_EQ(next()[Q_LOST], 1);
    CHECK_EQ(ask.number[Q_HOLDS], 0); /* its word is a later one */
    answer(3, OPEN_NOW, 2000, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, in_shadow_it_opens_with_the_fleet)
{
    begin();
    weir_policy_set_mode(instance.breaker, WEIR_MODE_SHADOW);
    answer(1, OPEN_NOW, 5000, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    CHECK(word_is_fleets(word_now(&instance)));
    CHECK(call(&instance, WEIR_OK, now)); /* it would have been refused */
    drop(&instance, now);
}

TEST(fleet_breaker, an_outcome_of_anothers_turn_closes_it)
{
    begin();
    answer(2, HALF_OPEN_NOW, 3000, 0); /* it comes late to all that */
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    CHECK(!call(&instance, WEIR_OK, now));
    next();
    answer(3, CLOSED_NOW, 0, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    drop(&instance, now);
}

TEST(fleet_breaker, it_goes_on_alone_when_nobody_answers)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    uint64_t answered = now;
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    next(); /* and no step comes any more */
    now = answered + 2 * WEIR_S;
    CHECK(call(&instance, WEIR_OK, now));
    CHECK_EQ(stats().state, WEIR_BREAKER_HALF_OPEN);
    CHECK(!pull(&instance, &ask, now));
    CHECK_EQ(weir_share_state(instance.breaker), WEIR_SHARE_DEGRADED);
    answer_kind(WEIR_ANSWER_UNKNOWN, 0, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, it_goes_on_alone_when_its_lane_is_down)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    report_lane(&instance, WEIR_LANE_DOWN, now);
    CHECK_EQ(weir_share_state(instance.breaker), WEIR_SHARE_DEGRADED);
    calls(2, WEIR_OK);
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    report_lane(&instance, WEIR_LANE_UP, now);
    CHECK(pull(&instance, &ask, now));
    answer(1, OPEN_NOW, 0, 0); /* what it knew before: its own proof stands */
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    CHECK_EQ(weir_share_state(instance.breaker), WEIR_SHARE_SHARED);
    drop(&instance, now);
}

TEST(fleet_breaker, what_closed_while_cut_off_proves_it_to_the_fleet)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    report_lane(&instance, WEIR_LANE_DOWN, now += WEIR_MS);
    calls(2, WEIR_OK);
    report_lane(&instance, WEIR_LANE_UP, now);
    CHECK(pull(&instance, &ask, now));
    CHECK_EQ(ask.number[Q_WANT], 1); /* nobody was refused */
    answer(2, HALF_OPEN_NOW, 3000, 2);
    CHECK(word_is_fleets(word_now(&instance)));
    now += WEIR_MS; /* instants are rounded up */
    calls(2, WEIR_OK);
    CHECK_EQ(next()[Q_WON], 2);
    answer(3, CLOSED_NOW, 0, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    drop(&instance, now);
}

TEST(fleet_breaker, refused_and_broken_answers_degrade)
{
    static const struct weir_answer broken[] = {
        { .kind = WEIR_ANSWER_NOT_RUN },
        { .kind = WEIR_ANSWER_ERROR },
        { .kind = WEIR_ANSWER_DONE, .count = 8 },
        { .kind = WEIR_ANSWER_DONE, .count = 9, .number = { (INT64_C(1) << 48) + 1 } },
        { .kind = WEIR_ANSWER_DONE, .count = 9, .number = { 9, 3 } },
        { .kind = WEIR_ANSWER_DONE, .count = 9, .number = { 9, 1, -5 } },
        { .kind = WEIR_ANSWER_DONE, .count = 9, .number = { 9, 1, INT64_C(1) << 40 } },
        { .kind = WEIR_ANSWER_DONE, .count = 9, .number = { 9, 2, 5, 256 } },
        { .kind = WEIR_ANSWER_DONE, .count = 9, .number = { 9, 1, 5, 0, 1, 1, 1, 1, 32 } },
    };
    begin();
    answer(0, CLOSED_NOW, 0, 0);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        now += WEIR_S;
        next();
        weir_link_answer(instance.link, ask.ticket, &broken[i], at(now));
        CHECK_EQ(weir_share_state(instance.breaker), WEIR_SHARE_DEGRADED);
        CHECK_EQ(weir_share_stats(instance.breaker).epoch, 0);
        CHECK_EQ(state()->turn, 0);
        CHECK_EQ(stats().state, WEIR_BREAKER_CLOSED);
    }
    drop(&instance, now);
}

TEST(fleet_breaker, an_operators_hand_is_not_overruled)
{
    begin();
    weir_policy_set_mode(instance.breaker, WEIR_MODE_FORCED_CLOSED);
    uint64_t word = word_now(&instance);
    answer(1, OPEN_NOW, 5000, 0);
    CHECK_EQ(word_now(&instance), word);
    calls(1, WEIR_OK);
    weir_policy_set_mode(instance.breaker, WEIR_MODE_ON);
    next();
    answer(1, OPEN_NOW, 4900, 0); /* put off until now */
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    drop(&instance, now);
}

TEST(fleet_breaker, a_local_trip_outlives_the_fleets_closing)
{
    begin();
    calls(5, WEIR_FAILED);
    answer(4, CLOSED_NOW, 0, 0);
    CHECK_EQ(stats().state, WEIR_BREAKER_OPEN);
    CHECK(!word_is_fleets(word_now(&instance)));
    drop(&instance, now);
}

TEST(fleet_breaker, a_sleep_ends_the_turn)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    next();
    answer(2, HALF_OPEN_NOW, 3000, 2);
    now += WEIR_MS;
    weir_link_step(instance.link, (struct weir_instants) { now, now + 60 * WEIR_S });
    weir_link_step(instance.link, (struct weir_instants) { now, now + 60 * WEIR_S });
    CHECK(!call(&instance, WEIR_OK, now));
    CHECK(weir_link_pull(instance.link, 0, WEIR_LANE_BULK, at(now), &ask));
    answer(2, HALF_OPEN_NOW, 3000, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, leaving_is_told_and_frees_the_words)
{
    begin();
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!call(&instance, WEIR_OK, now += WEIR_MS));
    weir_policy_unshare(instance.breaker);
    CHECK_EQ(weir_share_state(instance.breaker), WEIR_SHARE_DETACHED);
    CHECK(call(&instance, WEIR_OK, now)); /* its own config alone holds */
    CHECK(pull(&instance, &ask, now));
    CHECK_EQ(ask.number[Q_PRESENCE], 0);
    answer(1, OPEN_NOW, 0, 0);
    CHECK(!pull(&instance, &ask, now + WEIR_S));
    drop(&instance, now);
}

TEST(fleet_breaker, leaves_while_a_question_is_under_way)
{
    begin();
    weir_policy_unshare(instance.breaker);
    CHECK(!pull(&instance, &ask, now));
    answer(1, OPEN_NOW, 0, 0);
    CHECK(weir_link_pull(instance.link, 0, WEIR_LANE_BULK, at(now), &ask));
    CHECK_EQ(ask.number[Q_PRESENCE], 0);
    answer_kind(WEIR_ANSWER_UNKNOWN, 0, 0);
    drop(&instance, now);
}

TEST(fleet_breaker, a_flush_says_farewell)
{
    begin();
    answer(0, CLOSED_NOW, 0, 0);
    weir_link_flush(instance.link, at(now));
    CHECK(!weir_link_is_flushed(instance.link));
    CHECK(weir_link_pull(instance.link, 0, WEIR_LANE_BULK, at(now), &ask));
    CHECK_EQ(ask.number[Q_PRESENCE], 0);
    answer(0, CLOSED_NOW, 0, 0);
    CHECK(weir_link_is_flushed(instance.link));
    drop(&instance, now);
}

TEST(fleet_breaker, a_farewell_that_nobody_hears_is_not_waited_for)
{
    begin();
    answer(0, CLOSED_NOW, 0, 0);
    report_lane(&instance, WEIR_LANE_DOWN, now);
    weir_link_flush(instance.link, at(now));
    CHECK(weir_link_is_flushed(instance.link));
    drop(&instance, now);
}

TEST(fleet_breaker, bad_config)
{
    join(&instance, 1, CONFIG);
    weir_policy_unshare(instance.breaker);
    const struct weir_share_config bad[] = {
        { .size = sizeof *bad, .link = instance.link, .sync_ns = 1 },
        { .size = sizeof *bad, .link = instance.link, .sync_ns = 11 * WEIR_S },
        { .size = sizeof *bad, .link = instance.link, .quorum_percent = 101 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(weir_policy_share(instance.breaker, &bad[i]), WEIR_E_INVALID);
    }
    drop(&instance, now);
}
