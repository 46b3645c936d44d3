#include "pipeline/preset.h"

#include <stdio.h>
#include <string.h>

struct part_name part_name(const char *name, const char *part)
{
    struct part_name answer;
    int room = (int)(WEIR_NAME_MAX - 1 - strlen(part));
    snprintf(answer.text, sizeof answer.text, "%.*s.%s", room, name, part);
    return answer;
}

enum weir_error preset_finish(enum weir_error error, const struct weir_pipeline_config *config,
    struct weir_policy *const *part, size_t count, struct weir_pipeline **pipeline)
{
    if (error == WEIR_E_NONE) error = weir_pipeline_create(config, part, count, pipeline);
    for (size_t i = 0; i < count; i++) weir_policy_release(part[i]);
    return error;
}
