/* The test words themselves. That they also fail when they should is shown by tests/canary. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

static void abort_with(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

TEST(support, integers_compare_by_value)
{
    CHECK_EQ(UINT64_MAX, UINT64_MAX);
    CHECK_EQ(-1, INT64_C(-1));
    CHECK_EQ((uint8_t)200, 200u);
    CHECK((check_integer)UINT64_MAX != (check_integer)-1);
}

TEST(support, strings_compare_by_content)
{
    char text[] = "weir";
    CHECK_STR(text, "weir");
}

TEST(support, abort_is_seen_with_its_message)
{
    CHECK_ABORTS(abort_with("weir_x_destroy: still in use"), "still in use");
}

TEST(support, abort_is_seen_behind_much_output)
{
    CHECK_ABORTS(
        {
            fputs("the reason", stderr);
            for (int i = 0; i < 100000; i++) fputc('.', stderr);
            abort();
        },
        "the reason");
}
