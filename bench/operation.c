#include "operation.h"

static struct weir_outcome ok(void *argument, const struct weir_attempt *attempt)
{
    /* It might read what it was given, so the caller has to have it ready. */
    __asm__ volatile("" : : "r"(argument), "r"(attempt) : "memory");
    return (struct weir_outcome) { .status = WEIR_OK };
}

static struct weir_outcome third(void *argument, const struct weir_attempt *attempt)
{
    static _Thread_local uint32_t turn;
    __asm__ volatile("" : : "r"(argument), "r"(attempt) : "memory");
    turn = turn == 2 ? 0 : turn + 1;
    return (struct weir_outcome) { .status = turn == 0 ? WEIR_FAILED : WEIR_OK };
}

weir_operation *volatile operation_ok = ok;
weir_operation *volatile operation_third = third;
