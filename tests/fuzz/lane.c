/* Any bytes, at any time, to a lane of weir-redis that greets, is up, is lost and comes back: each question is answered once
 * (the desk sees to that), and the lane's words agree with one another. */
#include "fuzz/fuzz.h"

#include "redis/desk.h"
#include "redis/lane_state.h"

static struct desk desk;

static void check(const struct lane *lane)
{
    uint32_t loading[SCRIPTS] = { 0 };
    MUST(lane->count <= LANE_COMMANDS_MAX);
    MUST(lane->output_begin <= lane->output_end);
    MUST(lane->output_end <= LANE_OUTPUT_MAX);
    MUST(lane->put - lane->sent == lane->output_end - lane->output_begin || lane->state == LANE_DOWN ||
        lane->state == LANE_CONNECTING);
    if (lane->state == LANE_DOWN) MUST(lane->count == 0);
    for (uint32_t i = 0; i < lane->count; i++) {
        const struct command *command = &lane->command[(lane->first + i) % LANE_COMMANDS_MAX];
        MUST(command->deadline_ns >= lane->give_up_ns);
        if (command->kind == COMMAND_LOAD) loading[command->script]++;
    }
    for (int i = 0; i < SCRIPTS; i++) MUST(loading[i] == lane->loading[i] || lane->state != LANE_UP);
    if (lane->reader.hiredis != NULL) MUST(lane->reader.hiredis->len <= 2 * LANE_INPUT_MAX);
    MUST(lane->reader.text_used <= REPLY_TEXT_MAX);
    MUST(lane->reader.reply.elements <= REPLY_ELEMENTS_MAX);
    MUST(memchr(lane->stats.error, '\0', sizeof lane->stats.error) != NULL);
}

static const char *const pieces[] = { "*1\r\n:1\r\n", "*1\r\n:0\r\n", "*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n",
    "*1\r\n:-1\r\n", "$40\r\n" DESK_SHA "\r\n", "-NOSCRIPT No matching script.\r\n", "+OK\r\n", ":1\r\n",
    "$-1\r\n", "*-1\r\n", "-READONLY no\r\n", "-BUSY script\r\n", "-ERR Error running script: -OOM x\r\n",
    "*64\r\n", "*2\r\n", "*1\r\n*1\r\n", "$60000\r\n", "$2147483647\r\n", "*2147483647\r\n", "\r\n", "-ERR ",
    "$5\r\nhello\r\n", "%1\r\n", ">2\r\n", "_\r\n", "run_id:" };

static void say_raw(struct bytes *input)
{
    char raw[64];
    size_t count = pick(input, sizeof raw);
    for (size_t i = 0; i < count; i++) raw[i] = (char)take(input);
    desk_say(&desk, raw, count);
}

/* A lot of one piece: what is bounded reaches its bound. */
static void say_much(const char *piece)
{
    for (int i = 0; i < 300; i++) desk_type(&desk, piece);
}

static void greet(struct bytes *input)
{
    if (lane_stats(desk.lane).state != WEIR_LANE_DOWN || lane_wants_socket(desk.lane)) return;
    desk_connect(&desk);
    uint32_t other = take(input);
    desk_answer_greeting(&desk, other > 20 ? -1 : (int)other, PICK(input, pieces));
}

static void act(struct bytes *input)
{
    switch (pick(input, 11)) {
    case 0: desk_queue(&desk, pick(input, 255)); break;
    case 1:
        for (uint32_t i = 0; i < DESK_ASKS; i++) desk_queue(&desk, i);
        break;
    case 2: desk_send_all(&desk); break;
    case 3: desk_send(&desk, take_wide(input, 2)); break;
    case 4: desk_pass(&desk, pick(input, 64) * 8 * WEIR_MS); break;
    case 5: say_raw(input); break;
    case 6: desk_type(&desk, PICK(input, pieces)); break;
    case 7: say_much(PICK(input, pieces)); break;
    case 8: lane_lost(desk.lane, "lost", desk.now); break;
    case 9: greet(input); break;
    default: desk_step(&desk); break;
    }
    desk_forget(&desk);
    check(desk.lane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = { data, data + size };
    desk.settings.command_ns = 0;
    uint32_t first = take(&input);
    desk_open(&desk, first & 1 ? WEIR_LANE_LOCK : WEIR_LANE_BULK, "fuzz");
    if ((first & 2) == 0) desk_up(&desk);
    for (uint32_t i = 0; i < DESK_ASKS; i++) desk.ask[i].in_ns = (1 + i * (first >> 2) % 97) * 4 * WEIR_MS;
    for (int acts = 0; bytes_left(&input) && acts < 300; acts++) act(&input);
    desk_close(&desk);
    return 0;
}
