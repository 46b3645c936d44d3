/* Units, limits, errors, and the words every other header uses.
 *
 * What holds for every declaration of weir unless its comment says otherwise:
 *   threads   any thread may call it, at any time, on the same object;
 *   signals   it must not be called from a signal handler;
 *   fork      a child may go on using what it inherited; it owns nothing that it did not take itself
 *             (permits, probes and waits of the parent's calls stay the parent's);
 *   errno     is not read, and not changed but by a create that finds no memory;
 *   memory    only functions named create, and weir_pipeline_standard(), allocate (weir-curl: see its header);
 *             "borrowed" means that weir keeps the pointer and
 *             you keep the memory, "copied" that you may free it on return, "yours to destroy" that
 *             you must hand it to the function named.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if !defined(__GNUC__)
#error "weir needs GCC or Clang"
#endif
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_MUST_USE __attribute__((warn_unused_result))

/* Instants and durations are nanoseconds; an instant is one of CLOCK_MONOTONIC. */
#define WEIR_US UINT64_C(1000)
#define WEIR_MS UINT64_C(1000000)
#define WEIR_S UINT64_C(1000000000)
#define WEIR_NEVER UINT64_MAX /* an instant that does not come */
#define WEIR_OFF UINT64_MAX   /* in a config: none, where 0 means the default */
#define WEIR_OFF32 UINT32_MAX /* the same in a 32-bit field */

#define WEIR_POLICIES_MAX 16  /* in one pipeline */
#define WEIR_ATTEMPTS_MAX 100 /* of one call */
#define WEIR_NAME_MAX 63      /* bytes of a name; a longer one is refused */
#define WEIR_RESULT_MAX 4096  /* bytes of a pipeline's result */
#define WEIR_SOURCES_MAX 8    /* cancellable contexts above one another */

/* Mistakes in using the library, or resources that it lacks. A refused call is not an error but an
 * outcome (outcome.h); a broken rule of use (double settle, destroy while in use) aborts with a
 * message that names the function. */
#define WEIR_ERROR_MAP(X)                                               \
    X(NOMEM, -1, "out of memory")                                       \
    X(INVALID, -2, "a field of the config is invalid")                  \
    X(SIZE, -3, "the config has a size that this version doesn't know") \
    X(LIMIT, -4, "a fixed limit was reached")                           \
    X(TIMEOUT, -5, "it did not finish in time")                         \
    X(SYSTEM, -6, "the system refused")

enum weir_error {
    WEIR_E_NONE = 0,
#define X(name, value, text) WEIR_E_##name = value,
    WEIR_ERROR_MAP(X)
#undef X
};

/* What the last function of this thread that answered an error had against it: the field, its value
 * and what was expected. Valid until the next such function of this thread; "" before the first. */
WEIR_API const char *weir_error_text(void);

/* One sentence for an error's number alone; static. */
WEIR_API const char *weir_error_name(enum weir_error error);

/* "0.1.0"; static. */
WEIR_API const char *weir_version(void);

/* A pointer to a config that knows its size, for C (C++ cannot take the address of such a literal: _init() below):
 * WEIR_CONFIG(weir_breaker_config, .name = "bank").
 * A field left out is 0 and means the default written beside it. It lives as long as the block around
 * it. */
#define WEIR_CONFIG(type, ...) (&(struct type) { .size = sizeof(struct type), __VA_ARGS__ })

/* The same for C++ and for C without designated initializers: struct x c = x_init(); c.field = ...; */
#define WEIR_CONFIG_INIT(type)                       \
    static inline struct type type##_init(void)      \
    {                                                \
        struct type config;                          \
        __builtin_memset(&config, 0, sizeof config); \
        config.size = sizeof config;                 \
        return config;                               \
    }

#ifdef __cplusplus
}
#endif
#endif
