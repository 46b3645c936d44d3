/* Every allocation of a lane, hiredis' own among them, fails in its turn, once and from then on: the connection is lost,
 * every question has its answer, nothing leaks, and when there is memory again the lane comes back. */
#include "redis/desk.h"
#include "support/test.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

static struct {
    bool armed, lasting;
    int asked, fail; /* the fail-th fails; 0: none */
    int live;        /* got and not given back */
} faults;

static bool fails(void)
{
    if (!faults.armed) return false;
    faults.asked++;
    if (faults.fail == 0) return false;
    return faults.lasting ? faults.asked >= faults.fail : faults.asked == faults.fail;
}

static void *got(void *memory)
{
    faults.live += faults.armed && memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : got(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : got(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails()) return NULL;
    return memory == NULL ? got(__real_realloc(memory, size)) : __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
    faults.live -= faults.armed && memory != NULL;
    __real_free(memory);
}

static struct desk desk;

static void ask_and_answer(const char *text)
{
    desk_queue(&desk, 0);
    desk_step(&desk);
    desk_send_all(&desk);
    desk_type(&desk, text);
    desk_step(&desk);
    desk_send_all(&desk);
    desk_forget(&desk);
}

static void answer_at_length(void)
{
    static const char kilobyte[1025] = { [0 ... 1023] = 'x' };
    ask_and_answer("-ERR ");
    for (int i = 0; i < 40; i++) desk_type(&desk, kilobyte);
    desk_type(&desk, "\r\n");
}

/* All that a lane does. */
static void live(void)
{
    desk_connect(&desk);
    desk_answer_greeting(&desk, -1, NULL);
    ask_and_answer("*1\r\n:1\r\n");
    ask_and_answer("-NOSCRIPT\r\n");
    desk_type(&desk, "$40\r\n" DESK_SHA "\r\n*1\r\n:1\r\n");
    ask_and_answer("-ERR an error\r\n");
    for (int i = 0; i < 40; i++) ask_and_answer("*1\r\n:0\r\n"); /* the reader makes room at times */
    answer_at_length(); /* what is free again then is more than hiredis likes to keep */
    ask_and_answer("*1\r\n:1\r\n");
    desk_queue(&desk, 0);
    desk_step(&desk);
    desk_pass(&desk, 250 * WEIR_MS); /* too late */
    desk_pass(&desk, 10 * WEIR_MS);
}

/* Answers how often memory was asked for. */
static int live_without(int fail, bool lasting)
{
    desk.seed = (uint64_t)fail;
    desk.settings.command_ns = 0;
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    faults.asked = faults.live = 0;
    faults.fail = fail;
    faults.lasting = lasting;
    faults.armed = true;
    live();
    int asked = faults.asked;
    faults.fail = 0;
    lane_lost(desk.lane, "lost", desk.now);
    desk_up(&desk);
    ask_and_answer("*1\r\n:1\r\n");
    CHECK_EQ(desk.ask[0].answer.kind, WEIR_ANSWER_DONE);
    lane_lost(desk.lane, "lost", desk.now);
    CHECK_EQ(faults.live, 0);
    faults.armed = false;
    desk_close(&desk);
    return asked;
}

TEST(lane_memory, every_allocation_fails_in_turn)
{
    int all = live_without(0, false);
    CHECK(all > 60); /* each command, the reader, its buffer */
    for (int fail = 1; fail <= all; fail++) {
        live_without(fail, false);
        live_without(fail, true);
    }
}

TEST(lane_memory, no_lane_without_memory)
{
    faults.asked = 0;
    faults.fail = 4; /* desk_open's: the link, the object, the link's heap */
    faults.lasting = false;
    faults.armed = true;
    desk_open(&desk, WEIR_LANE_LOCK, "one");
    faults.armed = false;
    CHECK(desk.lane == NULL);
    desk_close(&desk);
}
