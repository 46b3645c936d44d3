/* Any names, kinds and outcomes into every text that weir makes, for buffers of every size: always terminated,
 * cut but never changed by the size, and no byte of a name comes out raw. */
#include "fuzz/fuzz.h"

#include <weir/weir.h>

#include <sys/mman.h>
#include <unistd.h>

#define POLICIES 4

struct scene {
    struct bytes in;
    struct weir_policy_ops ops;
    char kind[40], described[300];
    struct weir_policy *policy[POLICIES];
    struct weir_pipeline *pipeline;
    struct weir_sink *log;
    int file;
};

static struct scene *current;

static void describe(const void *config, const void *state, uint64_t now_ns, char *buffer, size_t size)
{
    (void)config;
    (void)state;
    (void)now_ns;
    size_t length = strlen(current->described) + 1;
    memcpy(buffer, current->described, length < size ? length : size); /* perhaps not terminated */
}

static void any_text(struct bytes *in, char *text, uint32_t size)
{
    uint32_t length = take(in) % size;
    for (uint32_t i = 0; i < length; i++) text[i] = (char)take(in);
    text[length] = '\0';
}

/* ---- what a text may hold ---- */

static void check_plain(const char *text, size_t length, bool lines, bool whole)
{
    uint32_t quotes = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '\n' && lines) {
            MUST(quotes % 2 == 0 || !whole);
            quotes = 0;
            continue;
        }
        MUST(byte >= 0x20 && byte < 0x7f);
        quotes += byte == '"';
        /* Only as an escape, which a shortened name may cut: \x0... */
        if (byte == '\\' && i + 4 <= length) MUST(text[i + 1] == 'x' || text[i + 1] == '.');
    }
    if (whole) MUST(quotes % 2 == 0);
}

typedef size_t make_text(struct scene *scene, char *buffer, size_t size);

/* The whole text, then cut at many sizes: each is a prefix, terminated, and nothing lies behind it. */
static void check_sizes(struct scene *scene, make_text *make)
{
    char whole[8192];
    memset(whole, 0x55, sizeof whole);
    make(scene, whole, sizeof whole);
    size_t length = strnlen(whole, sizeof whole);
    MUST(length < sizeof whole);
    check_plain(whole, length, true, true);
    for (uint32_t i = 0; i < 12; i++) {
        size_t size = i < 4 ? i
            : i == 4        ? length
            : i == 5        ? length + 1
                            : take_wide(&scene->in, 2) % (length + 2);
        char *cut = malloc(size == 0 ? 1 : size); /* so that the sanitizer sees an overrun */
        MUST(cut != NULL);
        size_t said = make(scene, cut, size);
        MUST(said == length || said == SIZE_MAX);
        if (size != 0) {
            size_t expected = length < size ? length : size - 1;
            MUST(strnlen(cut, size) == expected && memcmp(cut, whole, expected) == 0);
        }
        free(cut);
    }
}

static struct weir_outcome the_outcome;
static bool with_pipeline;
static uint64_t the_deadline_ns;

static size_t make_outcome(struct scene *scene, char *buffer, size_t size)
{
    MUST(weir_outcome_text(buffer, size, with_pipeline ? scene->pipeline : NULL, the_outcome) == buffer);
    return SIZE_MAX;
}

static size_t make_explain(struct scene *scene, char *buffer, size_t size)
{
    return weir_pipeline_explain(scene->pipeline, the_deadline_ns, buffer, size);
}

static void check_findings(struct scene *scene)
{
    struct weir_finding findings[40];
    for (int kind = 0; kind < 2; kind++) {
        size_t count = kind == 0 ? weir_pipeline_lint(scene->pipeline, the_deadline_ns, findings, 40)
                                 : weir_pipeline_check(scene->pipeline, the_deadline_ns, findings, 40);
        for (size_t i = 0; i < count && i < 40; i++) {
            size_t length = strnlen(findings[i].text, sizeof findings[i].text);
            MUST(length > 0 && length < sizeof findings[i].text);
            check_plain(findings[i].text, length, false, false);
        }
    }
}

/* ---- the log ---- */

static void check_log(struct scene *scene)
{
    char line[2048];
    struct weir_event event = { .kind = (uint8_t)take(&scene->in),
        .policy = (uint8_t)take(&scene->in),
        .attempt = (uint8_t)take(&scene->in),
        .reason = (uint8_t)take(&scene->in),
        .code = (int32_t)take_wide(&scene->in, 4),
        .now_ns = take_wide(&scene->in, 8) };
    MUST(ftruncate(scene->file, 0) == 0 && lseek(scene->file, 0, SEEK_SET) == 0);
    scene->log->event(scene->log->argument, scene->pipeline, &event);
    ssize_t length = pread(scene->file, line, sizeof line, 0);
    MUST(length >= 0 && length < (ssize_t)sizeof line);
    if (length == 0) return; /* too many a second */
    check_plain(line, (size_t)length, true, true);
    MUST(line[length - 1] == '\n' && memchr(line, '\n', (size_t)length) == line + length - 1);
}

/* ---- the scene ---- */

static uint64_t stand_still(void *argument)
{
    (void)argument;
    return UINT64_C(1) << 50;
}

static void no_wait(void *argument, uint64_t until_ns)
{
    (void)argument;
    (void)until_ns;
}

static bool make_policies(struct scene *scene)
{
    char name[80];
    scene->ops =
        (struct weir_policy_ops) { .size = sizeof scene->ops, .kind = scene->kind, .describe = describe };
    any_text(&scene->in, scene->kind, sizeof scene->kind);
    any_text(&scene->in, scene->described, 120);
    any_text(&scene->in, name, sizeof name);
    if (weir_policy_create(
            WEIR_CONFIG(weir_policy_spec, .ops = &scene->ops, .name = name), &scene->policy[0]))
        return false;
    any_text(&scene->in, name, sizeof name);
    if (weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = name), &scene->policy[1])) return false;
    any_text(&scene->in, name, sizeof name);
    if (weir_retry_create(WEIR_CONFIG(weir_retry_config, .name = name), &scene->policy[2])) return false;
    any_text(&scene->in, name, sizeof name);
    if (weir_timeout_create(WEIR_CONFIG(weir_timeout_config, .name = name), &scene->policy[3])) return false;
    any_text(&scene->in, name, sizeof name);
    struct weir_clock clock = { stand_still, no_wait, NULL };
    return weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = name, .clock = &clock),
               scene->policy, POLICIES, &scene->pipeline) == WEIR_E_NONE;
}

static void speak(struct scene *scene)
{
    while (bytes_left(&scene->in)) {
        uint32_t choice = take(&scene->in);
        the_deadline_ns = take_wide(&scene->in, 1 + choice % 8);
        with_pipeline = choice >= 32;
        the_outcome = (struct weir_outcome) { .status = (uint8_t)take(&scene->in),
            .reason = (uint8_t)take(&scene->in),
            .by = (uint8_t)take(&scene->in),
            .flags = (uint8_t)take(&scene->in),
            .code = (int32_t)take_wide(&scene->in, 4),
            .retry_after_ns = take_wide(&scene->in, 8) };
        check_sizes(scene, make_outcome);
        if ((choice & 1) != 0) check_sizes(scene, make_explain);
        if ((choice & 2) != 0) check_findings(scene);
        if ((choice & 4) != 0) check_log(scene);
        MUST(weir_status_text((enum weir_status)the_outcome.status)[0] != '\0');
        MUST(weir_reason_text((enum weir_reason)the_outcome.reason)[0] != '\0');
        MUST(weir_event_text((enum weir_event_kind)choice)[0] != '\0');
        weir_policy_set_mode(scene->policy[choice % POLICIES], (enum weir_mode)(the_outcome.by % 5));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    if (file < 0) file = memfd_create("log", MFD_CLOEXEC);
    MUST(file >= 0);
    struct scene scene = { .in = { data, data + size }, .file = file };
    current = &scene;
    MUST(weir_log_sink_create(file, 1000, &scene.log) == WEIR_E_NONE);
    if (make_policies(&scene)) speak(&scene);
    weir_pipeline_destroy(scene.pipeline);
    for (uint32_t i = 0; i < POLICIES; i++) weir_policy_release(scene.policy[i]);
    weir_log_sink_destroy(scene.log);
    return 0;
}
