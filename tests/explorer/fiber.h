/* Fibers: stacks of their own on one real thread. A fiber that ended is started anew by the next fiber_go(). */
#ifndef WEIR_EXPLORER_FIBER_H
#define WEIR_EXPLORER_FIBER_H

#include <stdint.h>

void fiber_reset(uint32_t fiber); /* its next fiber_go() begins at the start, whatever it was doing */
void fiber_go(uint32_t fiber);    /* until it calls fiber_leave() or its body ends */
void fiber_leave(void);

/* The body of each, by whoever links this. */
void fiber_body(uint32_t fiber);

#endif
