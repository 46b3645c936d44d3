/* The report: a schedule as a string that can be given back, and its accesses, one a line. */
#include "explorer/search.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 16 };

static struct {
    const char *start, *name;
    size_t size;
} names[NAMES_MAX];
static uint32_t name_count;

void trace_region(const void *start, size_t size, const char *name)
{
    names[name_count].start = start;
    names[name_count].size = size;
    names[name_count++].name = name;
}

void trace_forget_regions(void)
{
    name_count = 0;
}

void trace_schedule(char *buffer, size_t size, uint32_t steps)
{
    buffer[0] = '\0';
    for (uint32_t i = 0, length = 0; i < steps && length + 16 < size;) {
        uint32_t first = i;
        while (i < steps && explore_path[i].thread == explore_path[first].thread) i++;
        const char *space = first == 0 ? "" : " ";
        if (i - first == 1) {
            length +=
                (uint32_t)snprintf(buffer + length, size - length, "%s%u", space, explore_path[first].thread);
        } else {
            length += (uint32_t)snprintf(
                buffer + length, size - length, "%s%u*%u", space, explore_path[first].thread, i - first);
        }
    }
}

static void print_word(const volatile void *word)
{
    for (uint32_t i = 0; i < name_count; i++) {
        size_t offset = (size_t)((const char *)word - names[i].start);
        if ((const char *)word < names[i].start || offset >= names[i].size) continue;
        printf("%s+%zu", names[i].name, offset);
        return;
    }
    printf("%p", (const void *)(uintptr_t)word);
}

/* Where in the source, by addr2line if it is there. */
static FILE *ask_places(uint32_t steps)
{
    extern char __executable_start;
    static char command[96 + STEPS_MAX * 20];
    int length = snprintf(command, sizeof command, "addr2line -s -f -e /proc/%d/exe", (int)getpid());
    for (uint32_t i = 0; i < steps; i++) {
        uintptr_t place = (uintptr_t)explore_path[i].access.place - 1;
#ifdef __PIE__
        place -= (uintptr_t)&__executable_start;
#endif
        length += snprintf(command + length, sizeof command - (size_t)length, " 0x%" PRIxPTR, place);
    }
    (void)__executable_start;
    snprintf(command + length, sizeof command - (size_t)length, " 2>/dev/null");
    return popen(command, "r");
}

void trace_print(uint32_t steps)
{
    if (steps > STEPS_MAX) steps = STEPS_MAX;
    fflush(stdout);
    FILE *places = steps > 0 ? ask_places(steps) : NULL;
    for (uint32_t i = 0; i < steps; i++) {
        const struct access *access = &explore_path[i].access;
        char function[80] = "", line[80] = "";
        if (places != NULL && fgets(function, sizeof function, places) != NULL &&
            fgets(line, sizeof line, places) == NULL) {
            function[0] = '\0';
        }
        function[strcspn(function, "\n")] = line[strcspn(line, "\n ")] = '\0';
        printf("%5u  %*s%u%*s %-22s %-26s ", i, (int)explore_path[i].thread * 3, "", explore_path[i].thread,
            9 - (int)explore_path[i].thread * 3, "", line, function);
        print_word(access->word);
        if (access->changed) printf("  %" PRIx64 " -> %" PRIx64 "\n", access->before, access->after);
        else printf("  %" PRIx64 "\n", access->before);
    }
    if (places != NULL) pclose(places);
}
