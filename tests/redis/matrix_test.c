/* Everything that a real Redis and the way to it can do, one after the other; and what the proxy's log says of questions
 * that may have run: none is put again, but where the server had lost its scripts, which proves that it did not run. */
#include "redis/matrix.h"

#include "redis/carrier.h"

#include <stdlib.h>

static struct {
    size_t from, to; /* commands of the proxy's log */
} scripts_lost[8];
static size_t losses;

static void begin(void)
{
    char place[64];
    redis_server_start(&matrix.server, &(struct redis_options) { .clock = true, .config = MATRIX_CONFIG });
    const struct redis_address address = redis_server_tcp(&matrix.server);
    matrix.proxy = proxy_start(&address, NULL);
    snprintf(place, sizeof place, "tcp://127.0.0.1:%u", proxy_address(matrix.proxy).port);
    matrix_begin(place);
}

static void end(void)
{
    matrix_end();
    proxy_stop(matrix.proxy);
    redis_server_stop(&matrix.server);
}

static void run(const struct matrix_row *row)
{
    size_t from = proxy_commands(matrix.proxy);
    matrix_run(row);
    if (!row->scripts_lost) return;
    CHECK(losses < sizeof scripts_lost / sizeof *scripts_lost);
    scripts_lost[losses].from = from;
    scripts_lost[losses++].to = proxy_commands(matrix.proxy);
}

/* ---- what is never said twice ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct proxy_command *)a)->text, ((const struct proxy_command *)b)->text);
}

static bool is_question(const struct proxy_command *command)
{
    return strncmp(command->text, "EVALSHA ", 8) == 0 && strstr(command->text, "}:k") == NULL &&
        strstr(command->text, " weir:{") != NULL;
}

static bool scripts_were_lost(size_t index)
{
    for (size_t i = 0; i < losses; i++) {
        if (index >= scripts_lost[i].from && index < scripts_lost[i].to) return true;
    }
    return false;
}

/* Each question of a policy has a sequence number of its own: the same text is the same question. (A lock's renewals are all
 * alike.) */
static void check_that_nothing_is_repeated(size_t at_least)
{
    size_t all = proxy_commands(matrix.proxy), count = 0;
    struct proxy_command *question = calloc(all, sizeof *question);
    CHECK(question != NULL);
    for (size_t i = 0; i < all; i++) {
        if (!scripts_were_lost(i) && proxy_command(matrix.proxy, i, &question[count]))
            count += is_question(&question[count]);
    }
    qsort(question, count, sizeof *question, by_text);
    for (size_t i = 1; i < count; i++) {
        if (by_text(&question[i - 1], &question[i]) == 0)
            CHECK_STR(question[i].text, "a question that is new");
    }
    fprintf(stderr, "%zu questions went through, none of them twice\n", count);
    CHECK(count >= at_least);
    free(question);
}

TEST(matrix, each_fault_is_declared_borne_and_over_soon)
{
    begin();
    for (size_t i = 0; i < matrix_row_count; i++) run(&matrix_rows[i]);
    check_that_nothing_is_repeated(1000);
    end();
}

/* ---- resets before and after the reply ---- */

#define RESETS 40

static bool comes_up(void)
{
    for (int64_t end_ms = await_now_ms() + MATRIX_WITHIN_MS; await_now_ms() < end_ms; matrix_decide()) {
        if (matrix_stats(WEIR_LANE_BULK).state == WEIR_LANE_UP) return true;
    }
    return false;
}

/* Until a question has gone through after so many commands; or all that there were are under way already. */
static void await_question(size_t index)
{
    static struct proxy_command command;
    for (int64_t end_ms = await_now_ms() + 100; await_now_ms() < end_ms; matrix_decide()) {
        for (; proxy_command(matrix.proxy, index, &command); index++) {
            if (is_question(&command)) return;
        }
    }
}

static uint64_t asked(void)
{
    return matrix_stats(WEIR_LANE_BULK).commands + matrix_stats(WEIR_LANE_LOCK).commands;
}

/* The same where none goes through: until more are under way than there were. */
static void await_asked(uint64_t before)
{
    for (int64_t end_ms = await_now_ms() + 100; await_now_ms() < end_ms && asked() == before;)
        matrix_decide();
}

/* Connections are reset while questions wait in the proxy (they cannot have run), while their answers do (they have run), and
 * between both. The former may be put again, the others not. */
TEST(matrix, what_may_have_run_is_not_asked_again)
{
    uint64_t given_up = 0;
    begin();
    for (int i = 0; i < RESETS; i++) {
        struct proxy_faults held = { .requests.hold = i % 2 == 0, .replies.hold = i % 2 != 0 };
        CHECK(comes_up());
        size_t before = proxy_commands(matrix.proxy);
        proxy_set(matrix.proxy, &held);
        uint64_t asked_before = asked();
        if (held.replies.hold) await_question(before);
        else await_asked(asked_before);
        proxy_break(matrix.proxy, PROXY_RESETS);
        proxy_set(matrix.proxy, NULL);
    }
    for (int lane = 0; lane < WEIR_LANES; lane++) given_up += matrix_stats((enum weir_lane)lane).given_up;
    fprintf(stderr, "%d resets, %d questions given up\n", RESETS, (int)given_up);
    CHECK(given_up >= RESETS / 2);
    check_that_nothing_is_repeated(RESETS);
    end();
}
