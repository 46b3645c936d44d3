/* Outcomes: what errno values, results and HTTP statuses become; the table's functions at their boundaries. */
#include "support/test.h"

#include "policy/outcome.h"

#include <weir/retry.h>

#include <errno.h>

TEST(outcome, from_errno)
{
    static const int overloaded[] = { EBUSY, EUSERS }, not_sent[] = { ECONNREFUSED, EADDRNOTAVAIL };
    /* The first five may come after the request was sent. */
    static const int failed[] = { EAGAIN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOBUFS, ECONNRESET, EPIPE,
        EIO, EINTR, ENOENT, 99999, -1 };
    CHECK_EQ(weir_from_errno(0).status, WEIR_OK);
    CHECK_EQ(weir_from_errno(ECANCELED).status, WEIR_CANCELED);
    for (int i = 0; i < 2; i++) CHECK_EQ(weir_from_errno(overloaded[i]).status, WEIR_OVERLOADED);
    for (int i = 0; i < 2; i++) {
        struct weir_outcome outcome = weir_from_errno(not_sent[i]);
        CHECK_EQ(outcome.status, WEIR_FAILED);
        CHECK_EQ(outcome.flags, WEIR_NOT_SENT);
        CHECK_EQ(outcome.code, not_sent[i]);
    }
    for (size_t i = 0; i < sizeof failed / sizeof failed[0]; i++) {
        struct weir_outcome outcome = weir_from_errno(failed[i]);
        CHECK_EQ(outcome.status, WEIR_FAILED);
        CHECK_EQ(outcome.flags, 0);
        CHECK_EQ(outcome.code, failed[i]);
    }
}

TEST(outcome, from_int)
{
    CHECK_EQ(weir_from_int(0).status, WEIR_OK);
    CHECK_EQ(weir_from_int(-7).status, WEIR_FAILED);
    CHECK_EQ(weir_from_int(-7).code, -7);
    CHECK_EQ(weir_from_int(1).status, WEIR_FAILED);
}

TEST(outcome, from_http)
{
    for (int status = -1; status < 700; status++) {
        enum weir_status expected = WEIR_OK;
        if (status < 100 || status >= 500 || status == 408 || status == 425) expected = WEIR_FAILED;
        if (status == 429 || status == 503) expected = WEIR_OVERLOADED;
        CHECK_EQ(weir_from_http(status).status, expected);
        CHECK_EQ(weir_from_http(status).code, status);
        CHECK_EQ(weir_from_http(status).flags, 0);
    }
}

TEST(outcome, every_status_and_reason_has_a_text)
{
    for (int i = 0; i < WEIR_STATUSES; i++) CHECK(weir_status_text((enum weir_status)i)[0] != '?');
    for (int i = 0; i < WEIR_REASONS; i++) CHECK(weir_reason_text((enum weir_reason)i)[0] != '?');
    CHECK_STR(weir_status_text(WEIR_STATUSES), "?");
    CHECK_STR(weir_status_text((enum weir_status) - 1), "?");
    CHECK_STR(weir_reason_text(WEIR_REASONS), "?");
    CHECK_STR(weir_status_text(WEIR_OVERLOADED), "overloaded");
    CHECK_STR(weir_reason_text(WEIR_REASON_RATE), "rate limit");
}

/* The policy stands at position 2: what bears .by 1..3 was decided outside it or by itself. */
TEST(outcome, expired_is_seen_by_where_it_comes_from)
{
    for (uint8_t by = 0; by <= 5; by++) {
        struct weir_outcome outcome = { .status = WEIR_EXPIRED, .reason = WEIR_REASON_TIMEOUT, .by = by };
        bool inside = by == 0 || by > 3;
        CHECK_EQ(outcome_view(&outcome, 2, WEIR_S - 1, WEIR_S), inside ? VIEW_FAILURE : VIEW_NOTHING);
        CHECK_EQ(outcome_view(&outcome, 2, WEIR_S, WEIR_S), VIEW_FAILURE);
        uint32_t on = WEIR_ON(WEIR_EXPIRED);
        CHECK_EQ(outcome_retry(&outcome, 2, on, true), inside ? RETRY_YES : RETRY_UNWANTED);
        CHECK_EQ(outcome_retry(&outcome, 2, on, false), inside ? RETRY_NOT_IDEMPOTENT : RETRY_UNWANTED);
    }
    struct weir_outcome deadline = { .status = WEIR_EXPIRED, .reason = WEIR_REASON_DEADLINE };
    CHECK_EQ(outcome_view(&deadline, 2, 0, WEIR_S), VIEW_NOTHING);
    CHECK_EQ(outcome_retry(&deadline, 2, WEIR_ON(WEIR_EXPIRED), true), RETRY_UNWANTED);
}

TEST(outcome, what_is_not_in_the_set_is_not_retried)
{
    for (uint8_t status = 0; status < WEIR_STATUSES; status++) {
        struct weir_outcome outcome = { .status = status, .flags = WEIR_NOT_SENT };
        bool may = status == WEIR_FAILED || status == WEIR_EXPIRED || status == WEIR_OVERLOADED ||
            status == WEIR_REJECTED;
        CHECK_EQ(outcome_retry(&outcome, 0, 0, true), RETRY_UNWANTED);
        CHECK_EQ(outcome_retry(&outcome, 0, UINT32_MAX & ~WEIR_ON(status), true), RETRY_UNWANTED);
        CHECK_EQ(outcome_retry(&outcome, 0, UINT32_MAX, false), may ? RETRY_YES : RETRY_UNWANTED);
        outcome.flags |= WEIR_NOT_REPEATABLE;
        CHECK_EQ(outcome_retry(&outcome, 0, UINT32_MAX, true), may ? RETRY_NOT_REPEATABLE : RETRY_UNWANTED);
    }
}
