/* Row 14: one path is slow, and the pool's threads are all on it. The demo's incident, shorter. */
#include "lessons/claim.h"
#include "lessons/replay.h"

#define SECONDS 16

static bool isolates(void)
{
    struct incident_figures figures = { 0 };
    bool good = replay(&isolation, SECONDS, &figures);
    const struct call_figures *bare = &figures.of[INCIDENT_BARE][WELL];
    const struct call_figures *guarded = &figures.of[INCIDENT_GUARDED][WELL];
    printf("p99 of the other paths %.0f ms to %.1f ms, %zu errors in %zu calls", bare->p99_ms,
        guarded->p99_ms, guarded->calls - guarded->fresh, guarded->calls);
    return good;
}

int main(int argc, char **argv)
{
    static const struct claim row[] = { { "isolation", isolates } };
    return claims(row, sizeof row / sizeof *row, argc, argv);
}
