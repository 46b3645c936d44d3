/* One process of a fleet: a link, and all that is shared through it, in use; it writes down what becomes of that. */
#ifndef WEIR_TESTS_FLEET_MEMBER_H
#define WEIR_TESTS_FLEET_MEMBER_H

#include "redis/fleet_log.h"

struct process_words {
    uint32_t active;          /* it may begin */
    uint32_t quit;            /* it is to leave */
    uint32_t bad;             /* its calls fail, and there are many */
    uint32_t up;              /* it has written down its first look */
    uint32_t own[OBJECTS];    /* each on its own */
    uint32_t open;            /* its breaker is not closed */
    uint64_t decisions, late; /* of the rates; that took more than a ms */
};

/* In memory that all processes have in common. */
struct fleet_words {
    uint32_t stop, stage;
    char address[2][128];                        /* straight, and by the proxy */
    struct process_words process[PROCESSES + 1]; /* from 1 on */
};

#define WORD(word) __atomic_load_n(&(word), __ATOMIC_SEQ_CST)
#define SET_WORD(word, value) __atomic_store_n(&(word), (value), __ATOMIC_SEQ_CST)

/* Waits until it is active, and works until it is to quit; ends the process. */
void member_run(struct fleet_words *words, struct history *history, uint32_t process, uint64_t seed)
    __attribute__((noreturn));

#endif
