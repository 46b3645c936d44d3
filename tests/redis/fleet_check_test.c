/* The checker of a fleet's log finds what is wrong, and no more: logs that just keep a bound, and the same with one entry
 * that is too much. */
#include "redis/fleet_check.h"
#include "redis/fleet_window.h"
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#define MS LOG_NS_PER_MS
#define BEGIN (INT64_C(3000) * MS)
#define BRIEF 1000 /* between the stamps of a decision */

static struct book {
    struct history_event events[20000], copy[20000];
    size_t count;
    struct fleet_figures figures;
    char said[1024];
} book;

static void note(
    uint16_t process, enum fleet_entry kind, uint32_t object, int64_t a, int64_t at_ns, int64_t b)
{
    book.events[book.count] =
        (struct history_event) { at_ns, (uint32_t)book.count, process, (uint16_t)kind, object, a, b };
    book.count++;
}

static void stage(enum fleet_stage stage, int64_t at_ns)
{
    note(0, LOG_STAGE, stage, 0, at_ns, 1);
}

/* Five members that share everything since a second. */
static void begin(void)
{
    book.count = 0;
    stage(UP, 0);
    for (uint16_t process = 1; process <= FLEET; process++) {
        note(0, LOG_BORN, process, 1, 1, 0);
        for (uint32_t object = 0; object < OBJECTS; object++) {
            note(process, LOG_STATE, object, 1, 2, FLEET << 1 | 1);
            note(process, LOG_STATE, object, 2, 3, FLEET << 1);
        }
    }
    stage(HEALTHY, 4);
}

static bool is_good(void)
{
    FILE *stream = fmemopen(book.said, sizeof book.said, "w");
    memcpy(book.copy, book.events, sizeof book.events);
    bool good = fleet_check(book.copy, book.count, &book.figures, stream);
    fclose(stream);
    if (good) book.said[0] = '\0';
    return good;
}

static bool is_said(const char *what)
{
    return !is_good() && strstr(book.said, what) != NULL;
}

/* ---- rates ---- */

static void admit(enum fleet_object rate, int64_t at_ns)
{
    note((uint16_t)(1 + book.count % FLEET), LOG_ADMIT, rate, at_ns - BRIEF, at_ns, MS);
}

static void admits(enum fleet_object rate, int64_t at_ns, int count, int64_t apart_ns)
{
    for (int i = 0; i < count; i++) admit(rate, at_ns + i * apart_ns);
}

/* A full bucket at once, then one as each grows. */
static void admit_all(enum fleet_object rate)
{
    admits(rate, BEGIN, rate == RELAXED ? BURST + HELD : BURST, 0);
    admits(rate, BEGIN + MS, 500, MS);
}

TEST(fleet_check, a_rate_that_just_keeps_its_bound_and_one_more)
{
    for (int rate = 0; rate < RATES; rate++) {
        for (int64_t at_ms = 0; at_ms <= 500; at_ms += 50) {
            begin();
            admit_all((enum fleet_object)rate);
            CHECK(is_good());
            admit((enum fleet_object)rate, BEGIN + at_ms * MS);
            CHECK(is_said("more than that may be"));
        }
    }
}

/* A process that was stopped in the midst of it: it may have been decided before all others, or after. */
TEST(fleet_check, what_may_lie_outside_of_a_window_is_not_counted_in_it)
{
    begin();
    admit_all(STRICT);
    note(2, LOG_ADMIT, STRICT, BEGIN - 10 * MS, BEGIN + 600 * MS, MS);
    CHECK(is_good());
    note(2, LOG_ADMIT, STRICT, BEGIN + MS / 2, BEGIN + 400 * MS, MS);
    CHECK(!is_good());
}

TEST(fleet_check, the_server_forgot_once)
{
    for (int rate = STRICT; rate < RATES; rate++) {
        begin();
        admit_all((enum fleet_object)rate);
        note(0, LOG_FAULT, FLUSH, BEGIN + 500 * MS, BEGIN + 500 * MS + 1, 0);
        admits((enum fleet_object)rate, BEGIN + 501 * MS, BURST, 0);
        CHECK(is_good());
        admits((enum fleet_object)rate, BEGIN + 501 * MS, 2, 0);
        CHECK(!is_good());
    }
}

static void all_are(uint32_t rate, int64_t at_ns, bool own)
{
    for (uint16_t process = 1; process <= FLEET; process++)
        note(process, LOG_STATE, rate, at_ns - 1, at_ns, FLEET << 1 | own);
}

/* All on their shares, which are the rate; when it is back it has grown a burst. */
TEST(fleet_check, the_server_was_away)
{
    begin();
    admits(STRICT, BEGIN, BURST, 0);
    all_are(STRICT, BEGIN + 2, true);
    note(0, LOG_AWAY, FREEZE, BEGIN + 1, BEGIN + 300 * MS, 0);
    admits(STRICT, BEGIN + MS, 300, MS);
    all_are(STRICT, BEGIN + 300 * MS + 2, false);
    admits(STRICT, BEGIN + 301 * MS, BURST, 0);
    CHECK(is_good());
    admits(STRICT, BEGIN + 301 * MS, 2, 0); /* one for the time until they were back */
    CHECK(!is_good());
}

TEST(fleet_check, one_of_five_was_on_its_own)
{
    for (int own = 1; own >= 0; own--) {
        begin();
        admits(STRICT, BEGIN, BURST, 0);
        note(1, LOG_STATE, STRICT, BEGIN + 1, BEGIN + 1, FLEET << 1 | own);
        admits(STRICT, BEGIN + MS, 500, MS);
        admits(STRICT, BEGIN + 5 * MS, 100, 5 * MS);
        CHECK_EQ(is_good(), own == 1);
    }
}

/* Who is closed while the server is away has nothing more for that. */
TEST(fleet_check, a_closed_rate_has_no_share)
{
    begin();
    admits(CLOSED, BEGIN, BURST, 0);
    all_are(CLOSED, BEGIN + 2, true);
    note(0, LOG_AWAY, FREEZE, BEGIN + 1, BEGIN + 300 * MS, 0);
    all_are(CLOSED, BEGIN + 300 * MS + 2, false);
    admits(CLOSED, BEGIN + 301 * MS, BURST, 0);
    CHECK(is_good());
    admits(CLOSED, BEGIN + 302 * MS, 203, 0);
    CHECK(!is_good());
}

TEST(fleet_check, leases_end_and_are_accounted_for)
{
    begin();
    note(3, LOG_ADMIT, STRICT, BEGIN, BEGIN + BRIEF, 0);
    CHECK(is_said("after the end of its lease"));
    begin();
    note(3, LOG_SUM, CLOSED, 100, BEGIN, 100);
    CHECK(is_good());
    note(3, LOG_SUM, CLOSED, 101, BEGIN, 100);
    CHECK(is_said("was lent 100"));
}

/* ---- permits ---- */

static void calls(enum fleet_object object, int count, int64_t from_ns, int64_t to_ns, int64_t deadline_ns)
{
    for (int i = 0; i < count; i++)
        note((uint16_t)(1 + i % FLEET), LOG_CALL, object, from_ns, to_ns, deadline_ns);
}

TEST(fleet_check, permits_and_one_more)
{
    for (enum fleet_object object = PLAIN; object <= EXACT; object++) {
        begin();
        calls(object, PERMITS, BEGIN, BEGIN + MS, INT64_MAX);
        calls(object, PERMITS, BEGIN + MS, BEGIN + 2 * MS, INT64_MAX);
        CHECK(is_good());
        calls(object, 1, BEGIN + MS - 2, BEGIN + MS - 1, INT64_MAX);
        CHECK(is_said("9 are in use"));
    }
}

/* Of a process that was stopped: its work has ended by the deadline. */
TEST(fleet_check, an_exact_call_ends_by_its_deadline)
{
    begin();
    calls(EXACT, 1, BEGIN, BEGIN + 900 * MS, BEGIN + 100 * MS);
    calls(EXACT, PERMITS, BEGIN + 100 * MS, BEGIN + 200 * MS, INT64_MAX);
    CHECK(is_good());
    calls(EXACT, 1, BEGIN + 150 * MS, BEGIN + 900 * MS, BEGIN + 160 * MS);
    CHECK(!is_good());
}

TEST(fleet_check, permits_under_faults)
{
    begin();
    note(0, LOG_FAULT, FREEZE, BEGIN, BEGIN + 100 * MS, 0);
    calls(PLAIN, 2 * PERMITS, BEGIN + 50 * MS, BEGIN + 200 * MS, INT64_MAX);
    CHECK(is_good());
    calls(EXACT, PERMITS + 1, BEGIN + 50 * MS, BEGIN + 60 * MS, INT64_MAX);
    CHECK(is_said("exact permits"));
    begin();
    note(0, LOG_FAULT, FLUSH, BEGIN, BEGIN + 1, 0);
    calls(EXACT, 2 * PERMITS, BEGIN + 50 * MS, BEGIN + 60 * MS, INT64_MAX);
    CHECK(is_good());
    calls(EXACT, PERMITS + 1, BEGIN + (LEASE_MS + 1) * MS, BEGIN + (LEASE_MS + 2) * MS, INT64_MAX);
    CHECK(!is_good());
}

TEST(fleet_check, permits_of_the_killed)
{
    for (int late = 0; late < 2; late++) {
        begin();
        stage(MURDER, BEGIN);
        note(0, LOG_GONE, 2, BEGIN + 1, BEGIN + 2, 0);
        calls(PLAIN, PERMITS - (FLEET - KILLED), BEGIN, BEGIN + 5000 * MS, INT64_MAX);
        int64_t back_ns = BEGIN + (4 * LEASE_MS + (late ? 400 : 300)) * MS;
        calls(PLAIN, 1, back_ns, back_ns + MS, INT64_MAX);
        CHECK_EQ(is_good(), !late);
        note(0, LOG_STALL, 0, BEGIN, BEGIN + 100, 60 * MS);
        CHECK(is_good());
    }
}

/* ---- the breaker ---- */

static void look(uint16_t process, bool open, int64_t before_ns, int64_t at_ns, int64_t epoch)
{
    note(process, LOG_LOOK, open, before_ns, at_ns, epoch);
}

TEST(fleet_check, epochs_and_who_may_be_open)
{
    begin();
    stage(ONE_BAD, BEGIN);
    look(1, true, BEGIN + 1, BEGIN + 2, 7);
    look(2, false, BEGIN + 1, BEGIN + 2, 7);
    CHECK(is_good());
    look(2, true, BEGIN + 3, BEGIN + 4, 8);
    CHECK(is_said("where only that of 1 may be"));
    begin();
    look(2, false, BEGIN + 1, BEGIN + 2, 7);
    look(2, false, BEGIN + 1, BEGIN + 3, 6);
    CHECK(is_said("epoch 6 after 7"));
}

static void open_all(int64_t last_ns)
{
    begin();
    stage(MOST_BAD, BEGIN);
    note(1, LOG_TURN, 1, BEGIN + 1, BEGIN + MS, 4);
    for (uint16_t process = 1; process < FLEET; process++) look(process, true, BEGIN + MS, BEGIN + 2 * MS, 1);
    if (last_ns != 0) look(FLEET, true, last_ns, last_ns + MS, 1);
}

TEST(fleet_check, all_open_in_time)
{
    open_all(BEGIN + (1 + SYNC_MS + 25) * MS);
    CHECK(is_good());
    open_all(BEGIN + (1 + SYNC_MS + 25) * MS + 1);
    CHECK(is_said("breakers: 5 of 5"));
    open_all(0);
    CHECK(is_said("breakers: 4 of 5"));
}

TEST(fleet_check, probes_and_one_more)
{
    open_all(BEGIN + MS);
    calls(BREAKER, 4, BEGIN, BEGIN + 50 * MS, INT64_MAX); /* that began before it opened */
    calls(BREAKER, 1, BEGIN + 3 * MS, BEGIN + 9 * MS, INT64_MAX);
    calls(BREAKER, 1, BEGIN + 4 * MS, BEGIN + 8 * MS, INT64_MAX);
    CHECK(is_good());
    CHECK_EQ(book.figures.probes, 2);
    calls(BREAKER, 1, BEGIN + 5 * MS, BEGIN + 7 * MS, INT64_MAX);
    CHECK(is_said("3 probes at once"));
    note(1, LOG_STATE, BREAKER, BEGIN + 3 * MS, BEGIN + 4 * MS, FLEET << 1 | 1);
    CHECK(is_good());
}

/* ---- the windows ---- */

TEST(fleet_check, windows_are_what_they_are_one_by_one)
{
    int64_t plain[50] = { 0 };
    bool begun[50] = { false };
    struct windows *windows = windows_create(50);
    srand(1);
    for (int step = 0; step < 5000; step++) {
        size_t place = (size_t)rand() % 50, worst;
        int64_t value = rand() % 1000 - 500, most = INT64_MIN;
        if (!begun[place]) {
            begun[place] = true;
            plain[place] += value;
            windows_begin(windows, place, value);
        }
        for (size_t i = 0; i < place; i++) plain[i] += value;
        windows_add(windows, place, value);
        for (size_t i = 0; i < 50; i++) {
            if (begun[i] && plain[i] > most) most = plain[i];
        }
        CHECK_EQ(windows_worst(windows, &worst), most);
        CHECK_EQ(plain[worst], most);
    }
    windows_destroy(windows);
}
