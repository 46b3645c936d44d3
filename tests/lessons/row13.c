/* Row 13: one dependency hangs, and the threads that wait for it are all that there are. The demo's incident, shorter. */
#include "lessons/claim.h"
#include "lessons/replay.h"

#define SECONDS 8

static bool avalanches(void)
{
    struct incident_figures figures = { 0 };
    bool good = replay(&avalanche, SECONDS, &figures);
    for (int side = 0; side < INCIDENT_SIDES; side++) {
        const struct call_figures *ill = &figures.of[side][ILL], *well = &figures.of[side][WELL];
        printf("%s %u threads waiting, %.2f %% of %zu answered by the deadline, %.2f %% of %zu of the "
               "healthy one%s",
            side == INCIDENT_BARE ? "bare" : "guarded", figures.waiting[side],
            percent(ill->answered, ill->calls), ill->calls, percent(well->fresh, well->calls), well->calls,
            side == INCIDENT_BARE ? "; " : "");
    }
    return good;
}

int main(int argc, char **argv)
{
    static const struct claim row[] = { { "avalanche", avalanches } };
    return claims(row, sizeof row / sizeof *row, argc, argv);
}
