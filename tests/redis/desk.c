#include "redis/desk.h"

#include "redis/question.h"
#include "shared/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(x)                                                                                         \
    do {                                                                                                \
        if (!(x)) {                                                                                     \
            fprintf(stderr, "desk: line %d, seed %" PRIu64 ": broken: %s\n", __LINE__, desk->seed, #x); \
            abort();                                                                                    \
        }                                                                                               \
    } while (0)

struct asker {
    struct shared shared;
    struct shared_ask ask[DESK_ASKS];
    struct desk *desk;
};

/* ---- the object ---- */

static void on_step(struct shared *object, struct weir_instants now)
{
    (void)now;
    object->done = object->left;
}

static bool on_fill(
    struct shared *object, struct shared_ask *ask, struct weir_instants now, struct weir_ask *question)
{
    struct asker *asker = (struct asker *)object;
    struct desk_ask *entry = &asker->desk->ask[ask - asker->ask];
    entry->pulled++;
    question->kind = (uint8_t)entry->kind;
    question->count = 1;
    question->number[0] = ask - asker->ask;
    question->deadline_ns = now.monotonic_ns + (entry->in_ns == 0 ? WEIR_S : entry->in_ns);
    return true;
}

static void on_answer(
    struct shared *object, struct shared_ask *ask, const struct weir_answer *answer, struct weir_instants now)
{
    struct asker *asker = (struct asker *)object;
    struct desk *desk = asker->desk;
    struct desk_ask *entry = &desk->ask[ask - asker->ask];
    (void)now;
    entry->answered++;
    entry->answer = *answer;
    MUST(entry->answered == entry->pulled);
}

static void on_lane(struct shared *object, uint32_t node, enum weir_lane lane, struct weir_instants now)
{
    struct desk *desk = ((struct asker *)object)->desk;
    (void)node;
    (void)now;
    if (shared_lane_state(desk->link, 0, lane) != WEIR_LANE_DOWN) return;
    for (uint32_t i = 0; i < DESK_ASKS; i++) MUST(desk->ask[i].answered == desk->ask[i].pulled);
}

static void on_closed(struct shared *object, struct weir_instants now)
{
    (void)object;
    (void)now;
}

static void on_leave(struct shared *object)
{
    (void)object;
}

static void on_destroy(struct shared *object)
{
    free(object);
}

static const struct shared_ops ops[WEIR_LANES] = {
    [WEIR_LANE_LOCK] = { .locks = true,
        .step = on_step,
        .fill = on_fill,
        .answer = on_answer,
        .lane = on_lane,
        .closed = on_closed,
        .leave = on_leave,
        .destroy = on_destroy },
    [WEIR_LANE_BULK] = { .step = on_step,
        .fill = on_fill,
        .answer = on_answer,
        .lane = on_lane,
        .closed = on_closed,
        .leave = on_leave,
        .destroy = on_destroy },
};

/* ---- the link ---- */

static void on_ring(void *argument)
{
    (void)argument;
}

static void on_event(void *argument, const struct weir_share_event *event)
{
    struct desk *desk = argument;
    desk->came_up += event->kind == WEIR_SHARE_LINK_UP;
    desk->slowed += event->kind == WEIR_SHARE_LINK_SLOW;
    desk->went_down += event->kind == WEIR_SHARE_LINK_DOWN;
}

void desk_open(struct desk *desk, enum weir_lane which, const char *name)
{
    uint64_t seed = desk->seed;
    struct lane_settings settings = desk->settings;
    memset(desk, 0, offsetof(struct desk, sent));
    desk->sent_count = 0;
    desk->seed = seed;
    desk->settings = settings;
    desk->which = which;
    desk->now = (struct weir_instants) { 100 * WEIR_S, 100 * WEIR_S };
    if (settings.command_ns == 0) {
        desk->settings.command_ns = 250 * WEIR_MS;
        desk->settings.slow_ns = 20 * WEIR_MS;
        desk->settings.connect_ns = WEIR_S;
        desk->settings.reconnect_max_ns = 2 * WEIR_S;
    }
    struct weir_carrier carrier = weir_carrier_init();
    carrier.nodes = 1;
    carrier.ring = on_ring;
    struct weir_share_sink sink = { on_event, desk };
    struct weir_link_config config = weir_link_config_init();
    config.space = "desk";
    config.instance[0] = 1 + seed;
    config.instance[1] = 2;
    config.carrier = &carrier;
    config.sink = &sink;
    MUST(weir_link_create(&config, &desk->link) == WEIR_E_NONE);
    struct asker *asker = calloc(1, sizeof *asker);
    MUST(asker != NULL);
    asker->desk = desk;
    for (uint32_t i = 0; i < DESK_ASKS; i++) {
        asker->ask[i] = (struct shared_ask) { .object = &asker->shared, .lane = (uint8_t)which };
        desk->ask[i].kind = which == WEIR_LANE_LOCK ? WEIR_ASK_RENEW : WEIR_ASK_BULKHEAD;
    }
    desk->asker = asker;
    MUST(shared_enrol(desk->link, &asker->shared, &ops[which], name) == WEIR_E_NONE);
    weir_link_step(desk->link, desk->now);
    desk->lane = lane_create(desk->link, 0, which, &desk->settings);
}

void desk_close(struct desk *desk)
{
    if (desk->lane != NULL) lane_end(desk->lane, desk->now);
    for (uint32_t i = 0; i < DESK_ASKS; i++) MUST(desk->ask[i].answered == desk->ask[i].pulled);
    lane_destroy(desk->lane);
    shared_leave(&desk->asker->shared);
    weir_link_close(desk->link, desk->now);
    weir_link_release(desk->link);
    memset(&desk->settings, 0, sizeof desk->settings); /* the next one sets its own */
}

/* ---- driven ---- */

void desk_queue(struct desk *desk, uint32_t ask)
{
    shared_lock(desk->link);
    shared_ask_queue(&desk->asker->ask[ask]);
    shared_unlock(desk->link);
}

uint64_t desk_step(struct desk *desk)
{
    weir_link_step(desk->link, desk->now);
    return lane_step(desk->lane, desk->now);
}

uint64_t desk_pass(struct desk *desk, uint64_t ns)
{
    desk->now.monotonic_ns += ns;
    desk->now.boottime_ns += ns;
    return desk_step(desk);
}

void desk_say(struct desk *desk, const void *bytes, size_t count)
{
    lane_receive(desk->lane, bytes, count, desk->now);
}

void desk_type(struct desk *desk, const char *text)
{
    desk_say(desk, text, strlen(text));
}

void desk_send(struct desk *desk, size_t most)
{
    const void *bytes;
    size_t count = lane_output(desk->lane, &bytes);
    if (count > most) count = most;
    MUST(desk->sent_count + count < sizeof desk->sent);
    memcpy(desk->sent + desk->sent_count, bytes, count);
    desk->sent_count += count;
    lane_sent(desk->lane, count);
}

void desk_send_all(struct desk *desk)
{
    desk_send(desk, SIZE_MAX);
}

void desk_forget(struct desk *desk)
{
    memset(desk->sent, 0, desk->sent_count);
    desk->sent_count = 0;
}

/* ---- the greeting ---- */

void desk_connect(struct desk *desk)
{
    uint64_t next_ns = desk_step(desk);
    if (!lane_wants_socket(desk->lane)) desk_pass(desk, next_ns - desk->now.monotonic_ns);
    MUST(lane_wants_socket(desk->lane));
    lane_connected(desk->lane, desk->now);
    desk_send_all(desk);
}

static int scripts_of(const struct desk *desk)
{
    int count = 0;
    for (enum script script = 0; script < SCRIPTS; script++)
        count += question_is_of_lane(script, desk->which);
    return count;
}

static int before_name(const struct desk *desk)
{
    return (desk->settings.password != NULL) + (desk->settings.database != 0);
}

int desk_greeting_count(const struct desk *desk)
{
    return before_name(desk) + 4 + scripts_of(desk);
}

void desk_answer_greeting(struct desk *desk, int other, const char *text)
{
    static const char *const answers[] = { "+OK\r\n",
        "*3\r\n$6\r\nmaster\r\n:7\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        "$24\r\n# Server\r\nrun_id:abcde\r\n\r\n", "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n" };
    int before = before_name(desk), count = desk_greeting_count(desk);
    for (int i = 0; i < count; i++) {
        if (i == other) desk_type(desk, text);
        else if (i < before) desk_type(desk, "+OK\r\n");
        else if (i < before + 4) desk_type(desk, answers[i - before]);
        else desk_type(desk, "$40\r\n" DESK_SHA "\r\n");
    }
}

void desk_up(struct desk *desk)
{
    desk_connect(desk);
    desk_answer_greeting(desk, -1, NULL);
    MUST(lane_stats(desk->lane).state == WEIR_LANE_UP);
    desk_forget(desk);
}

uint64_t desk_server(const struct desk *desk)
{
    return shared_lane_server(desk->link, 0, desk->which);
}
