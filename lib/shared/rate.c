#include "shared/share.h"

static enum weir_error validate(const struct weir_policy *policy, struct weir_share_config *config)
{
    (void)policy;
    (void)config;
    return error_set(WEIR_E_INVALID, "not built yet");
}

const struct share_kind share_rate = { .size = sizeof(struct share), .validate = validate };
