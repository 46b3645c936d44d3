/* A lane's states; lane.h has the diagram and the invariants. */
#include "redis/lane_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MIN_NS (10 * WEIR_MS)
#define PIECE 4096    /* bytes */
#define GOOD_ENOUGH 2 /* answers in time in a row, after which a slow lane is not slow any more */

struct lane *lane_create(
    struct weir_link *link, uint32_t node, enum weir_lane which, const struct lane_settings *settings)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) return NULL;
    uint64_t instance[2];
    weir_link_instance(link, instance);
    lane->link = link;
    lane->node = node;
    lane->which = which;
    lane->settings = settings;
    lane->random = mix64(instance[0] + instance[1] + UINT64_C(2) * node + which);
    return lane;
}

void lane_destroy(struct lane *lane)
{
    if (lane == NULL) return;
    reader_close(&lane->reader);
    explicit_bzero(lane, sizeof *lane); /* credentials were put out through it */
    free(lane);
}

bool lane_wants_socket(const struct lane *lane)
{
    return lane->state != LANE_DOWN;
}

/* ---- down ---- */

static size_t secret_at(const char *text, const char *secret)
{
    size_t length = secret == NULL ? 0 : strlen(secret);
    return length != 0 && strncmp(text, secret, length) == 0 ? length : 0;
}

/* Printable, without credentials, and cut. */
void lane_note(struct lane *lane, enum weir_redis_error error, const char *text)
{
    char *to = lane->stats.error, *end = to + sizeof lane->stats.error - 1;
    lane->stats.errors[error]++;
    while (*text != '\0' && to != end) {
        size_t secret =
            time_max(secret_at(text, lane->settings->password), secret_at(text, lane->settings->user));
        char c = *text;
        if (secret != 0) c = '*';
        else if (c < ' ' || c > '~') c = '?';
        *to++ = c;
        text += secret == 0 ? 1 : secret;
    }
    *to = '\0';
}

/* At once after a connection that has proven good; else min(cap, anything between the least and three times the last pause): M.
 * Brooker, "Exponential Backoff And Jitter", 2015, decorrelated. */
static uint64_t next_pause(struct lane *lane, uint64_t now_ns)
{
    if (lane->state == LANE_UP && time_since(now_ns, lane->up_ns) >= LANE_PROVEN_NS) return 0;
    uint64_t most = time_max(3 * lane->pause_ns, PAUSE_MIN_NS);
    uint64_t pause_ns = PAUSE_MIN_NS + random_up_to(&lane->random, most - PAUSE_MIN_NS);
    return time_min(pause_ns, lane->settings->reconnect_max_ns);
}

void lane_fall(struct lane *lane, enum weir_redis_error error, const char *why, struct weir_instants now)
{
    if (lane->state == LANE_DOWN) return;
    bool was_up = lane->state == LANE_UP;
    lane_note(lane, error, why);
    lane->pause_ns = next_pause(lane, now.monotonic_ns);
    lane->state = LANE_DOWN;
    lane->turns++;
    lane->at_ns = time_add(now.monotonic_ns, lane->pause_ns);
    lane->slow = false;
    command_drop_all(lane, now);
    explicit_bzero(lane->output, lane->output_end);
    lane->output_begin = lane->output_end = 0;
    reader_close(&lane->reader);
    if (!was_up) return;
    lane->stats.lost++;
    weir_link_report(lane->link, lane->node, lane->which, WEIR_LANE_DOWN, 0, now);
}

void lane_lost(struct lane *lane, const char *why, struct weir_instants now)
{
    lane_fall(lane, WEIR_REDIS_CONNECTION, why, now);
}

void lane_end(struct lane *lane, struct weir_instants now)
{
    lane->ended = true;
    lane_fall(lane, WEIR_REDIS_CONNECTION, "closed", now);
}

/* ---- up ---- */

void lane_connected(struct lane *lane, struct weir_instants now)
{
    if (lane->state != LANE_CONNECTING) return;
    lane->state = LANE_HANDSHAKE;
    lane->put = lane->sent = 0;
    lane->stats.evicts = false;
    memset(lane->loading, 0, sizeof lane->loading);
    if (reader_open(&lane->reader)) handshake_begin(lane, now);
    else lane_fall(lane, WEIR_REDIS_OTHER, "no memory", now);
}

/* ---- time ---- */

static enum weir_lane_state told_state(const struct lane *lane)
{
    if (lane->state != LANE_UP) return WEIR_LANE_DOWN;
    return lane->slow ? WEIR_LANE_SLOW : WEIR_LANE_UP;
}

static void tell(struct lane *lane, struct weir_instants now)
{
    lane->turns++;
    weir_link_report(lane->link, lane->node, lane->which, told_state(lane), lane->server, now);
}

/* A command has been under way for too long, or the oldest one for so long that the lane is slow. */
static void look_at_commands(struct lane *lane, struct weir_instants now)
{
    const struct command *command = command_first(lane);
    if (command == NULL) return;
    if (command_is_late(lane, now)) {
        lane_fall(lane, WEIR_REDIS_TIMEOUT, "no answer in time", now);
    } else if (!lane->slow && now.monotonic_ns >= time_add(command->sent_ns, lane->settings->slow_ns)) {
        lane->slow = true;
        lane->good = 0;
        tell(lane, now);
    }
}

static uint64_t next_wake(struct lane *lane)
{
    const struct command *command = command_first(lane);
    if (lane->state != LANE_UP) return lane->at_ns;
    if (command == NULL) return time_add(lane->heard_ns, LANE_IDLE_NS);
    if (lane->slow) return lane->give_up_ns;
    return time_min(lane->give_up_ns, time_add(command->sent_ns, lane->settings->slow_ns));
}

static void step_down(struct lane *lane, struct weir_instants now)
{
    if (now.monotonic_ns < lane->at_ns) return;
    lane->state = LANE_CONNECTING;
    lane->at_ns = time_add(now.monotonic_ns, lane->settings->connect_ns);
}

uint64_t lane_step(struct lane *lane, struct weir_instants now)
{
    if (lane->ended) return WEIR_NEVER;
    switch (lane->state) {
    case LANE_DOWN: step_down(lane, now); break;
    case LANE_CONNECTING:
        if (now.monotonic_ns >= lane->at_ns)
            lane_fall(lane, WEIR_REDIS_TIMEOUT, "connecting took too long", now);
        break;
    case LANE_HANDSHAKE:
        if (now.monotonic_ns >= lane->at_ns) lane_fall(lane, WEIR_REDIS_TIMEOUT, "no greeting in time", now);
        break;
    case LANE_UP:
        look_at_commands(lane, now);
        if (lane->state != LANE_UP) break;
        command_pull(lane, now);
        if (lane->count == 0 && now.monotonic_ns >= time_add(lane->heard_ns, LANE_IDLE_NS))
            command_probe(lane, now);
        break;
    }
    return next_wake(lane);
}

/* ---- bytes ---- */

static void finish_handshake(struct lane *lane, struct weir_instants now)
{
    lane->state = LANE_UP;
    lane->up_ns = now.monotonic_ns;
    lane->stats.connected++;
    tell(lane, now);
}

/* An answer in time is a step away from being slow. */
static void note_time(struct lane *lane, uint64_t took_ns, struct weir_instants now)
{
    if (!lane->slow) return;
    lane->good = took_ns < lane->settings->slow_ns ? lane->good + 1 : 0;
    if (lane->good < GOOD_ENOUGH) return;
    lane->slow = false;
    tell(lane, now);
}

static bool take_reply(struct lane *lane, struct weir_instants now)
{
    const struct reply *reply = &lane->reader.reply;
    const struct command *command = command_first(lane);
    if (command == NULL) {
        lane_fall(lane, WEIR_REDIS_PROTOCOL, "an answer to nothing", now);
        return false;
    }
    if (lane->state == LANE_UP) {
        uint64_t took_ns = time_since(now.monotonic_ns, command->sent_ns);
        if (!command_answer(lane, reply, now)) return false;
        note_time(lane, took_ns, now);
        return true;
    }
    struct command asked = *command;
    command_drop_first(lane);
    if (!handshake_answer(lane, &asked, reply, now)) return false;
    if (lane->count == 0) finish_handshake(lane, now);
    return true;
}

/* False: it fell. */
static bool take_replies(struct lane *lane, struct weir_instants now)
{
    for (;;) {
        switch (reader_next(&lane->reader)) {
        case READ_MORE: return true;
        case READ_BROKEN:
            lane_fall(lane, WEIR_REDIS_PROTOCOL, "what it said is no answer", now);
            return false;
        case READ_REPLY:
            if (!take_reply(lane, now)) return false;
            break;
        }
    }
}

/* By pieces: what waits in the reader is less than an answer and a piece. */
void lane_receive(struct lane *lane, const void *bytes, size_t count, struct weir_instants now)
{
    const char *at = bytes;
    if (lane->state != LANE_HANDSHAKE && lane->state != LANE_UP) return;
    lane->heard_ns = now.monotonic_ns;
    lane->stats.received_bytes += count;
    for (size_t piece; count != 0; at += piece, count -= piece) {
        piece = count < PIECE ? count : PIECE;
        if (!reader_feed(&lane->reader, at, piece, LANE_INPUT_MAX)) {
            lane_fall(lane, WEIR_REDIS_PROTOCOL, "an answer is too large", now);
            return;
        }
        if (!take_replies(lane, now)) return;
    }
}

size_t lane_output(const struct lane *lane, const void **bytes)
{
    *bytes = lane->output + lane->output_begin;
    return lane->output_end - lane->output_begin;
}

void lane_sent(struct lane *lane, size_t count)
{
    lane->output_begin += count;
    lane->sent += count;
    lane->stats.sent_bytes += count;
    if (lane->output_begin != lane->output_end) return;
    if (lane->state == LANE_HANDSHAKE) explicit_bzero(lane->output, lane->output_end); /* a password */
    lane->output_begin = lane->output_end = 0;
}

struct weir_redis_stats lane_stats(const struct lane *lane)
{
    struct weir_redis_stats stats = lane->stats;
    stats.state = told_state(lane);
    return stats;
}

uint64_t lane_turns(const struct lane *lane)
{
    return lane->turns;
}
