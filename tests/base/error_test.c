/* Errors: each thread's own text, ranges and sizes of configs, names, escaping. */
#include "support/test.h"

#include "base/error.h"

#include <pthread.h>
#include <string.h>

static void *has_no_text(void *argument)
{
    (void)argument;
    CHECK_STR(weir_error_text(), "");
    CHECK_EQ(error_set(WEIR_E_NOMEM, "of %s", "another thread"), WEIR_E_NOMEM);
    CHECK_STR(weir_error_text(), "of another thread");
    return NULL;
}

TEST(error, the_text_is_the_threads_own)
{
    CHECK_EQ(error_set(WEIR_E_LIMIT, "number %d", 7), WEIR_E_LIMIT);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, has_no_text, NULL), 0);
    pthread_join(thread, NULL);
    CHECK_STR(weir_error_text(), "number 7");
}

TEST(error, a_long_text_is_cut)
{
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    CHECK_EQ(error_set(WEIR_E_INVALID, "%s", text), WEIR_E_INVALID);
    CHECK(strlen(weir_error_text()) > 200);
    CHECK_EQ(strncmp(weir_error_text(), text, strlen(weir_error_text())), 0);
}

TEST(error, every_number_has_a_sentence)
{
    CHECK_STR(weir_error_name(WEIR_E_NONE), "no error");
    CHECK_STR(weir_error_name(WEIR_E_NOMEM), "out of memory");
    CHECK_STR(weir_error_name(WEIR_E_SYSTEM), "the system refused");
    for (int error = -6; error <= 0; error++) {
        CHECK(strlen(weir_error_name((enum weir_error)error)) > 5);
        for (int other = -6; other < error; other++) {
            CHECK(strcmp(weir_error_name((enum weir_error)error), weir_error_name((enum weir_error)other)) !=
                0);
        }
    }
    CHECK_STR(weir_error_name((enum weir_error) - 7), "?");
    CHECK_STR(weir_error_name((enum weir_error)1), "?");
}

TEST(error, a_range_knows_its_default_and_its_ends)
{
    const struct {
        uint64_t given, kept;
        bool good;
    } cases[] = { { 0, 7, true }, { 4, 4, false }, { 5, 5, true }, { 10, 10, true }, { 11, 11, false },
        { WEIR_OFF, WEIR_OFF, false } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = cases[i].given;
        CHECK_EQ(error_range("weir_x_config", "field", &value, 7, 5, 10) == WEIR_E_NONE, cases[i].good);
        CHECK_EQ(value, cases[i].kept);
        uint32_t narrow = (uint32_t)cases[i].given;
        CHECK_EQ(error_range32("weir_x_config", "field", &narrow, 7, 5, 10) == WEIR_E_NONE, cases[i].good);
        CHECK_EQ(narrow, (uint32_t)cases[i].kept);
    }
    uint64_t value = 11;
    CHECK_EQ(error_range("weir_x_config", "field", &value, 7, 5, 10), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "weir_x_config.field is 11, expected 5..10");
}

/* ---- configs of other versions ---- */

struct config {
    uint32_t size, field;
};

TEST(error, a_config_is_as_large_as_known_or_larger_with_zeroes)
{
    struct config record = { 1, 1 };
    CHECK_EQ(error_config("t", NULL, &record, sizeof record), WEIR_E_NONE);
    CHECK_EQ(record.field, 0);
    const struct {
        uint32_t size;
        int dirty; /* index of a byte that isn't 0; -1: none */
        bool good;
    } cases[] = { { sizeof record, -1, true }, { 0, -1, false }, { sizeof record - 1, -1, false },
        { sizeof record + 1, -1, true }, { 4096, -1, true }, { 4097, -1, false },
        { sizeof record + 1, sizeof record, false }, { sizeof record + 1, sizeof record + 1, true },
        { 4096, 4095, false }, { UINT32_MAX, -1, false } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static unsigned char bytes[8192];
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &(struct config) { cases[i].size, 42 }, sizeof(struct config));
        if (cases[i].dirty >= 0) bytes[cases[i].dirty] = 1;
        enum weir_error error = error_config("weir_x_config", bytes, &record, sizeof record);
        CHECK_EQ(error, cases[i].good ? WEIR_E_NONE : WEIR_E_SIZE);
        if (cases[i].good) CHECK_EQ(record.field, 42);
        else CHECK(strstr(weir_error_text(), "weir_x_config.size is ") == weir_error_text());
    }
}

TEST(error, a_name_is_1_to_63_bytes)
{
    char copy[WEIR_NAME_MAX + 1], name[WEIR_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[WEIR_NAME_MAX + 1] = '\0';
    CHECK_EQ(error_name("t", NULL, "standard", copy), WEIR_E_NONE);
    CHECK_STR(copy, "standard");
    CHECK_EQ(error_name("t", "x", "standard", copy), WEIR_E_NONE);
    CHECK_STR(copy, "x");
    CHECK_EQ(error_name("t", "", "standard", copy), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "t.name is empty, expected 1..63 bytes");
    CHECK_EQ(error_name("t", name, "standard", copy), WEIR_E_INVALID);
    CHECK_STR(weir_error_text(), "t.name is too long, expected 1..63 bytes");
    CHECK_EQ(error_name("t", name + 1, "standard", copy), WEIR_E_NONE);
    CHECK_STR(copy, name + 1);
}

/* ---- escaping ---- */

TEST(error, every_byte_is_itself_or_hexadecimal)
{
    for (unsigned byte = 1; byte < 256; byte++) {
        char text[2] = { (char)byte, '\0' }, buffer[8], hex[] = "0123456789abcdef";
        bool plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
        char wanted[5] = { '\\', 'x', hex[byte >> 4], hex[byte & 15], '\0' };
        CHECK_STR(escape(text, buffer, sizeof buffer), plain ? text : wanted);
    }
}

TEST(error, an_escape_is_whole_or_left_out)
{
    static const char *const expected[] = { "", "a", "a", "a", "a", "a\\x0a", "a\\x0ab" };
    for (size_t size = 1; size <= 8; size++) {
        char buffer[10];
        memset(buffer, '#', sizeof buffer);
        escape("a\nb", buffer, size);
        CHECK_STR(buffer, expected[size > 7 ? 6 : size - 1]);
        CHECK_EQ(buffer[size], '#');
    }
    char untouched = '#';
    escape("a\nb", &untouched, 0);
    CHECK_EQ(untouched, '#');
}
