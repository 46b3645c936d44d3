/* weir-demo: the same load of real HTTP calls, bare and through weir, while their origin falls ill.
 *
 *     weir-demo [--seconds N] [--json FILE] [--plot NAME] [--seed N]
 *     weir-demo --incident avalanche|isolation [--seconds N] [--seed N]
 *
 * Exit status: 0; 1 if a goal was missed; 2 if the demo could not run; 130 if it was interrupted. It
 * leaves nothing behind. */
#include "control.h"
#include "incident.h"
#include "options.h"
#include "pace.h"
#include "phases.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MIN 12
#define SECONDS_MAX 3600
#define PHASES_SECONDS 30
#define INCIDENT_SECONDS 20

static bool parse_number(const char *text, unsigned long long *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool parse_incident(const char *name, struct options *options)
{
    static const struct incident *const incidents[] = { &avalanche, &isolation };
    for (size_t i = 0; i < sizeof incidents / sizeof *incidents; i++)
        if (strcmp(name, incidents[i]->name) == 0) options->incident = incidents[i];
    return options->incident != NULL;
}

static bool parse_option(const char *name, const char *value, struct options *options)
{
    if (strcmp(name, "--incident") == 0) return parse_incident(value, options);
    if (strcmp(name, "--json") == 0) {
        options->json = value;
        return *value;
    }
    if (strcmp(name, "--plot") == 0) {
        options->plot = value;
        return *value;
    }
    unsigned long long number = 0;
    if (!parse_number(value, &number)) return false;
    if (strcmp(name, "--seed") == 0) {
        options->seed = number;
        return true;
    }
    options->seconds = (double)number;
    return strcmp(name, "--seconds") == 0 && number >= SECONDS_MIN && number <= SECONDS_MAX;
}

static bool parse(int count, char **arguments, struct options *options)
{
    for (int i = 1; i < count; i += 2)
        if (!parse_option(arguments[i], i + 1 < count ? arguments[i + 1] : "", options)) return false;
    if (options->seconds == 0) options->seconds = options->incident ? INCIDENT_SECONDS : PHASES_SECONDS;
    return !options->incident || (!options->json && !options->plot);
}

static enum exit_status replay(const struct options *options)
{
    const struct incident *incident = options->incident;
    struct incident_figures figures;
    fprintf(stderr, "%s, %.0f s ...\n", incident->name, options->seconds);
    switch (incident_measure(incident, options->origin, options->seconds, options->seed, &figures)) {
    case INCIDENT_MEASURED: break;
    case INCIDENT_INTERRUPTED: fprintf(stderr, "weir-demo: interrupted\n"); return EXIT_INTERRUPTED;
    default: return EXIT_BROKEN;
    }
    incident->print(&figures);
    putchar('\n');
    bool good = incident->judge(&figures, stdout);
    if (good) printf("All goals met.\n");
    else testimony_excuses(stdout, figures.testimony);
    return good ? EXIT_GOOD : EXIT_WORSE;
}

int main(int count, char **arguments)
{
    char origin[PATH_MAX];
    struct options options = { .origin = origin, .seed = 1 };
    if (!parse(count, arguments, &options)) {
        fprintf(stderr,
            "usage: weir-demo [--seconds %d..%d] [--json FILE] [--plot NAME] [--seed N]\n"
            "       weir-demo --incident avalanche|isolation [--seconds N] [--seed N]\n",
            SECONDS_MIN, SECONDS_MAX);
        return EXIT_BROKEN;
    }
    pace_block_interrupts();
    signal(SIGPIPE, SIG_IGN);
    if (!beside_program("weir-origin", origin, sizeof origin) || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        fprintf(stderr, "weir-demo: cannot start\n");
        return EXIT_BROKEN;
    }
    enum exit_status status = options.incident ? replay(&options) : phases_run(&options);
    curl_global_cleanup();
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "weir-demo: cannot write what it measured\n");
        return EXIT_BROKEN;
    }
    return (int)status;
}
