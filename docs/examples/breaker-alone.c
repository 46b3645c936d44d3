/* A breaker around a call that no pipeline runs: acquire, call, release. The instants are given, so that the
 * example needs no waiting; the forms without _at read a clock themselves. */
#include "expect.h"

#include <errno.h>
#include <weir/weir.h>

static bool server_is_up;

static struct weir_outcome ask_server(void)
{
    return weir_from_errno(server_is_up ? 0 : EIO);
}

/* One guarded call. Whatever happens to it, what was acquired is released exactly once. */
static struct weir_outcome ask_guarded(struct weir_policy *breaker, uint64_t now_ns)
{
    struct weir_permit permit;
    struct weir_outcome outcome = weir_breaker_acquire_at(breaker, &permit, now_ns);
    if (outcome.status != WEIR_OK) return outcome; /* refused: nothing was taken */
    outcome = ask_server();
    weir_breaker_release_at(breaker, &permit, outcome, now_ns);
    return outcome;
}

int main(void)
{
    struct weir_policy *breaker;
    EXPECT(weir_breaker_create(
               WEIR_CONFIG(weir_breaker_config, .name = "server", .consecutive = 5, .open_ns = WEIR_S,
                   .jitter_percent = WEIR_OFF32, .probes = 2, .ramp_ns = WEIR_OFF),
               &breaker) == WEIR_E_NONE);
    uint64_t now_ns = weir_now(WEIR_TIMING_PRECISE);

    /* Down: five failures in a row open it, the sixth call does not go out. */
    for (int i = 0; i < 5; i++) EXPECT(ask_guarded(breaker, now_ns).status == WEIR_FAILED);
    struct weir_outcome outcome = ask_guarded(breaker, now_ns);
    EXPECT(outcome.status == WEIR_REJECTED && outcome.reason == WEIR_REASON_BREAKER_OPEN);
    EXPECT(outcome.retry_after_ns >= WEIR_S && outcome.retry_after_ns < WEIR_S + WEIR_MS);

    /* Its time is over and the server still down: one probe finds out, and it stays open twice as long. */
    now_ns += outcome.retry_after_ns;
    EXPECT(ask_guarded(breaker, now_ns).status == WEIR_FAILED);
    outcome = ask_guarded(breaker, now_ns);
    EXPECT(outcome.status == WEIR_REJECTED && outcome.retry_after_ns >= 2 * WEIR_S);

    /* The server is back: two probes that succeed close it. */
    server_is_up = true;
    now_ns += outcome.retry_after_ns;
    EXPECT(ask_guarded(breaker, now_ns).status == WEIR_OK);
    EXPECT(weir_breaker_stats(breaker, now_ns).state == WEIR_BREAKER_HALF_OPEN);
    EXPECT(ask_guarded(breaker, now_ns).status == WEIR_OK);

    struct weir_breaker_stats stats = weir_breaker_stats(breaker, now_ns);
    EXPECT(stats.state == WEIR_BREAKER_CLOSED);
    EXPECT(stats.opened == 1 && stats.reopened == 1 && stats.half_opened == 2 && stats.closed == 1);
    EXPECT(stats.refused_open == 2);
    printf("open for %.1f s in all\n", (double)stats.spent_ns[WEIR_BREAKER_OPEN] / WEIR_S);
    weir_policy_release(breaker);
    return 0;
}
