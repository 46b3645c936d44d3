/* The words every test of weir is written in.
 *
 *     TEST(breaker, opens_after_failures) {
 *         CHECK_EQ(weir_breaker_stats(policy).opened, 1);
 *     }
 *
 * They stand on Criterion, which forks for each test; with WEIR_INPROC on a runner without fork
 * (inproc.c), because ThreadSanitizer does not survive Criterion's. Both mean the same, and a test
 * may use nothing else of Criterion's. A failed check ends its test; in a thread other than the
 * test's own it ends the process, which fails the test too.
 */
#ifndef WEIR_TEST_H
#define WEIR_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef WEIR_INPROC

struct check_test {
    const char *suite, *name;
    void (*run)(void);
    struct check_test *next;
};
void check_register(struct check_test *test);

#define TEST(suite, name)                                                        \
    static void suite##_##name(void);                                            \
    __attribute__((constructor)) static void suite##_##name##_register(void)     \
    {                                                                            \
        static struct check_test test = { #suite, #name, suite##_##name, NULL }; \
        check_register(&test);                                                   \
    }                                                                            \
    static void suite##_##name(void)

#else

#include <criterion/criterion.h>
#define TEST(suite, name) Test(suite, name)

#endif

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)

/* Integers of any width and sign, compared by value, both printed. */
#define CHECK_EQ(left, right) \
    check_equal((check_integer)(left), (check_integer)(right), #left, #right, __FILE__, __LINE__)

#define CHECK_STR(left, right) check_string((left), (right), #left, #right, __FILE__, __LINE__)

/* The statement must end the process by abort() after a message that contains `message`. It runs in a
 * forked child: start no thread before it. */
#define CHECK_ABORTS(statement, message)                                         \
    do {                                                                         \
        struct check_child check_child_;                                         \
        if (check_fork(&check_child_)) {                                         \
            statement;                                                           \
            check_survived();                                                    \
        }                                                                        \
        check_aborted(&check_child_, (message), #statement, __FILE__, __LINE__); \
    } while (0)

__extension__ typedef __int128 check_integer;

struct check_child {
    int pid, errors;
};

void check_true(bool condition, const char *text, const char *file, int line);
void check_equal(check_integer left, check_integer right, const char *left_text, const char *right_text,
    const char *file, int line);
void check_string(const char *left, const char *right, const char *left_text, const char *right_text,
    const char *file, int line);
bool check_fork(struct check_child *child); /* true in the child */
__attribute__((noreturn)) void check_survived(void);
void check_aborted(
    const struct check_child *child, const char *message, const char *text, const char *file, int line);

/* How a failed check ends the test; differs between Criterion and the runner without fork. */
__attribute__((noreturn, format(printf, 3, 4))) void check_failed(
    const char *file, int line, const char *format, ...);

#endif
