/* Names are the user's: whatever bytes they hold, no text of weir's shows them raw, and a line stays a line. */
#include "pipeline/machine_words.h"

#include <weir/event.h>

#include <stdio.h>
#include <unistd.h>

/* What an attacker, or a hostname, might bring; and how it must be shown. */
static const struct {
    const char *name, *shown;
} names[] = {
    { "bank", "bank" },
    { "a b", "a b" },
    { "cr\rlf\nend", "cr\\x0dlf\\x0aend" },
    { "\r\nts=0 event=breaker.closed", "\\x0d\\x0ats=0 event=breaker.closed" },
    { "quo\"te' x=\"1", "quo\\x22te' x=\\x221" },
    { "%s%n%d%%", "%s%n%d%%" },
    { "back\\slash\\n", "back\\x5cslash\\x5cn" },
    { "esc\x1b[31mred\x1b[0m", "esc\\x1b[31mred\\x1b[0m" },
    { "bell\a back\b del\x7f tab\t", "bell\\x07 back\\x08 del\\x7f tab\\x09" },
    { "caf\xc3\xa9", "caf\\xc3\\xa9" },
    { "\xe2\x80\xae rtl", "\\xe2\\x80\\xae rtl" },
    { "\xff\xfe bad utf-8 \xc3", "\\xff\\xfe bad utf-8 \\xc3" },
    { "\xc2\x85 c1", "\\xc2\\x85 c1" },
};
#define NAMES (sizeof names / sizeof names[0])

/* Printable ASCII and, where lines are allowed, newlines; the name as it must be shown, and not raw. */
static void check_text(const char *text, size_t i, bool lines)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if ((byte < 0x20 || byte > 0x7e) && !(lines && byte == '\n')) {
            check_failed(__FILE__, __LINE__, "name %zu: byte 0x%02x is raw in: %s", i, byte, text);
        }
    }
    if (strstr(text, names[i].shown) == NULL) {
        check_failed(__FILE__, __LINE__, "name %zu is not shown as %s in: %s", i, names[i].shown, text);
    }
    bool plain = strcmp(names[i].name, names[i].shown) == 0;
    if (!plain && strstr(text, names[i].name) != NULL) {
        check_failed(__FILE__, __LINE__, "name %zu is raw in: %s", i, text);
    }
}

static struct weir_pipeline *named(const char *name, struct weir_policy *policy, const struct weir_sink *sink)
{
    struct weir_pipeline *pipeline = NULL;
    CHECK_EQ(weir_pipeline_create(
                 WEIR_CONFIG(weir_pipeline_config, .name = name, .sink = sink), &policy, 1, &pipeline),
        WEIR_E_NONE);
    weir_policy_release(policy);
    return pipeline;
}

static struct weir_outcome plain(void *argument, const struct weir_attempt *attempt)
{
    (void)argument;
    (void)attempt;
    return outcome_of(WEIR_OK);
}

static struct weir_outcome refused_by(struct weir_pipeline *pipeline)
{
    weir_policy_set_mode(weir_pipeline_policy(pipeline, 0), WEIR_MODE_FORCED_OPEN);
    return weir_run(pipeline, NULL, plain, NULL);
}

TEST(names, are_kept_as_given)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct weir_pipeline *pipeline = named(names[i].name, POLICY(breaker, .name = names[i].name), NULL);
        CHECK_STR(weir_pipeline_name(pipeline), names[i].name);
        CHECK_STR(weir_policy_name(weir_pipeline_policy(pipeline, 0)), names[i].name);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(names, in_outcome_texts)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct weir_pipeline *pipeline = named(names[i].name, POLICY(breaker, .name = names[i].name), NULL);
        char text[1024];
        CHECK_STR(weir_outcome_text(text, sizeof text, pipeline, refused_by(pipeline)), text);
        check_text(text, i, false);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(names, in_an_outcome_that_a_fallback_gave)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct weir_pipeline *pipeline = named("p", POLICY(fallback, .name = names[i].name), NULL);
        struct weir_outcome outcome = {
            .flags = WEIR_DEGRADED, .by = 1, .reason = WEIR_REASON_TIMEOUT, .code = 5
        };
        char text[1024];
        check_text(weir_outcome_text(text, sizeof text, pipeline, outcome), i, false);
        weir_pipeline_destroy(pipeline);
    }
}

TEST(names, in_explain)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct weir_pipeline *pipeline =
            named(names[i].name, POLICY(timeout, .name = names[i].name, .timeout_ns = 9 * WEIR_S), NULL);
        char text[8192];
        CHECK(weir_pipeline_explain(pipeline, WEIR_S, text, sizeof text) < sizeof text);
        check_text(text, i, true);
        weir_pipeline_destroy(pipeline);
        pipeline = named(names[i].name, nobody(), NULL); /* the pipeline's own */
        CHECK(weir_pipeline_explain(pipeline, WEIR_S, text, sizeof text) < sizeof text);
        check_text(text, i, true);
        weir_pipeline_destroy(pipeline);
    }
}

/* Findings show a name cut short where it is long. */
TEST(names, in_findings)
{
    uint32_t shown = 0;
    for (size_t i = 0; i < NAMES; i++) {
        struct weir_pipeline *pipeline =
            named("p", POLICY(timeout, .name = names[i].name, .timeout_ns = 9 * WEIR_S), NULL);
        struct weir_finding findings[8];
        size_t count = weir_pipeline_lint(pipeline, WEIR_S, findings, 8);
        CHECK(count > 0);
        for (size_t j = 0; j < count && j < 8; j++) {
            for (const char *at = findings[j].text; *at != '\0'; at++) CHECK(*at >= 0x20 && *at < 0x7f);
            shown += strstr(findings[j].text, names[i].shown) != NULL;
        }
        weir_pipeline_destroy(pipeline);
    }
    CHECK(shown >= NAMES / 2);
}

/* ---- the log ---- */

static void read_log(int descriptor, char *text, size_t size)
{
    ssize_t length = read(descriptor, text, size - 1);
    CHECK(length > 0);
    text[length] = '\0';
}

TEST(names, in_the_log)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    for (size_t i = 0; i < NAMES; i++) {
        struct weir_sink *sink;
        CHECK_EQ(weir_log_sink_create(ends[1], 0, &sink), WEIR_E_NONE);
        struct weir_pipeline *pipeline = named(names[i].name, POLICY(breaker, .name = names[i].name), sink);
        CHECK_EQ(refused_by(pipeline).reason, WEIR_REASON_FORCED);
        char text[2048], quoted[512];
        read_log(ends[0], text, sizeof text);
        CHECK_EQ(text[strlen(text) - 1], '\n'); /* one line */
        text[strlen(text) - 1] = '\0';
        check_text(text, i, false);
        snprintf(quoted, sizeof quoted, " pipeline=\"%s\" event=call.refused", names[i].shown);
        CHECK(strstr(text, quoted) != NULL);
        snprintf(quoted, sizeof quoted, " policy=breaker name=\"%s\" attempt=", names[i].shown);
        CHECK(strstr(text, quoted) != NULL);
        weir_pipeline_destroy(pipeline);
        weir_log_sink_destroy(sink);
    }
    close(ends[0]);
    close(ends[1]);
}

/* The longest name of the worst bytes fits whole, wherever it is shown. */
TEST(names, the_longest_one_is_shown_whole)
{
    char name[WEIR_NAME_MAX + 1], shown[4 * WEIR_NAME_MAX + 1] = "", text[8192];
    memset(name, '\n', WEIR_NAME_MAX);
    name[WEIR_NAME_MAX] = '\0';
    for (size_t i = 0; i < WEIR_NAME_MAX; i++) memcpy(shown + 4 * i, "\\x0a", 5);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    struct weir_sink *sink;
    CHECK_EQ(weir_log_sink_create(ends[1], 0, &sink), WEIR_E_NONE);
    struct weir_pipeline *pipeline = named(name, POLICY(breaker, .name = name), sink);
    struct weir_outcome outcome = refused_by(pipeline);
    CHECK(strstr(weir_outcome_text(text, sizeof text, pipeline, outcome), shown) != NULL);
    CHECK(weir_pipeline_explain(pipeline, 0, text, sizeof text) < sizeof text);
    CHECK(strstr(text, shown) != NULL);
    read_log(ends[0], text, sizeof text);
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
    const char *first = strstr(text, shown);
    CHECK(first != NULL);
    CHECK(strstr(first + 1, shown) != NULL);
    weir_pipeline_destroy(pipeline);
    weir_log_sink_destroy(sink);
    close(ends[0]);
    close(ends[1]);
}

/* A text that is cut ends between bytes of its own, terminated, and never beyond the buffer. */
TEST(names, a_cut_text_is_terminated)
{
    struct weir_pipeline *pipeline = named("cr\r\n", POLICY(breaker, .name = "\x1b\r\n\xff"), NULL);
    struct weir_outcome outcome = refused_by(pipeline);
    char whole[1024], text[1024];
    weir_outcome_text(whole, sizeof whole, pipeline, outcome);
    for (size_t size = 1; size <= strlen(whole) + 1; size++) {
        memset(text, '#', sizeof text);
        weir_outcome_text(text, size, pipeline, outcome);
        CHECK_EQ(strlen(text), size - 1);
        CHECK_EQ(strncmp(text, whole, size - 1), 0);
        CHECK_EQ(text[size], '#');
    }
    weir_pipeline_destroy(pipeline);
}

/* An author's kind isn't more trusted. */
TEST(names, the_kind_of_ones_own_policy)
{
    static const struct weir_policy_ops ops = { .size = sizeof ops, .kind = "my\nkind=\"x\"" };
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    struct weir_sink *sink;
    CHECK_EQ(weir_log_sink_create(ends[1], 0, &sink), WEIR_E_NONE);
    struct weir_policy *policy = NULL;
    CHECK_EQ(
        weir_policy_create(WEIR_CONFIG(weir_policy_spec, .ops = &ops, .name = "n"), &policy), WEIR_E_NONE);
    struct weir_pipeline *pipeline = named("p", policy, sink);
    struct weir_outcome outcome = refused_by(pipeline);
    char text[8192];
    CHECK(strchr(weir_outcome_text(text, sizeof text, pipeline, outcome), '\n') == NULL);
    CHECK(strstr(text, "my\\x0akind=\\x22x\\x22") != NULL);
    read_log(ends[0], text, sizeof text);
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
    CHECK(strstr(text, " policy=\"my\\x0akind=\\x22x\\x22\" name=\"n\"") != NULL);
    CHECK(weir_pipeline_explain(pipeline, 0, text, sizeof text) < sizeof text);
    CHECK(strstr(text, "my\nkind") == NULL);
    weir_pipeline_destroy(pipeline);
    weir_log_sink_destroy(sink);
    close(ends[0]);
    close(ends[1]);
}

/* ---- what is no name ---- */

TEST(names, an_empty_or_a_long_one_is_refused)
{
    char name[WEIR_NAME_MAX + 2];
    memset(name, 'x', sizeof name);
    name[WEIR_NAME_MAX + 1] = '\0';
    const char *bad[] = { "", name };
    for (int i = 0; i < 2; i++) {
        struct weir_policy *policy = NULL;
        CHECK_EQ(
            weir_breaker_create(WEIR_CONFIG(weir_breaker_config, .name = bad[i]), &policy), WEIR_E_INVALID);
        CHECK(strstr(weir_error_text(), "weir_breaker_config.name") != NULL);
        struct weir_pipeline *pipeline = NULL;
        CHECK_EQ(weir_pipeline_create(WEIR_CONFIG(weir_pipeline_config, .name = bad[i]), NULL, 0, &pipeline),
            WEIR_E_INVALID);
        CHECK(strstr(weir_error_text(), "weir_pipeline_config.name") != NULL);
    }
    name[WEIR_NAME_MAX] = '\0';
    struct weir_policy *policy = POLICY(breaker, .name = name);
    CHECK_STR(weir_policy_name(policy), name);
    weir_policy_release(policy);
}

/* Copied: what the caller does with his bytes later is his own business. */
TEST(names, are_copied)
{
    char name[] = "first";
    struct weir_pipeline *pipeline = named(name, POLICY(breaker, .name = name), NULL);
    memset(name, 'x', sizeof name - 1);
    CHECK_STR(weir_pipeline_name(pipeline), "first");
    CHECK_STR(weir_policy_name(weir_pipeline_policy(pipeline, 0)), "first");
    weir_pipeline_destroy(pipeline);
}
