/* Without weir-curl there are no such rows. */
#include "live.h"

bool live_selects(const char *prefix)
{
    (void)prefix;
    return false;
}

void live_run(const char *prefix)
{
    (void)prefix;
}

void live_json(FILE *file)
{
    (void)file;
}
