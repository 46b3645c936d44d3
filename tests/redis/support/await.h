/* Waiting for what must come, without a fixed sleep. */
#ifndef WEIR_TESTS_AWAIT_H
#define WEIR_TESTS_AWAIT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline int64_t await_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Looks each millisecond whether the condition holds. False: it did not within so many milliseconds. */
#define AWAIT(condition, within_ms)                              \
    __extension__({                                              \
        const int64_t await_end_ = await_now_ms() + (within_ms); \
        bool await_holds_;                                       \
        while (!(await_holds_ = (condition))) {                  \
            if (await_now_ms() >= await_end_) break;             \
            poll(NULL, 0, 1);                                    \
        }                                                        \
        await_holds_;                                            \
    })

#endif
