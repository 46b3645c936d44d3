/* Tells a script to every peer that connects, in the liar's own process. Neither returns. */
#ifndef LIARS_SCRIPT_H
#define LIARS_SCRIPT_H

#include "liars/liar.h"

void script_serve(int listener, const struct liar_script *script, struct liar_seen *seen);

/* Fills its own queue, says so by seen->asked, and waits for its end. */
void script_refuse(int listener, const struct liar_script *script, struct liar_seen *seen);

#endif
