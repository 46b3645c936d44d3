/* Configs in C++, which cannot take the address of a literal: WEIR_CONFIG() is for C, an _init() for both. */
#include <weir/weir.h>

#include <cstdio>
#include <cstring>

static weir_error create_shared(weir_link *redis, weir_policy **rate)
{
    weir_share_config share = weir_share_config_init();
    share.link = redis;
    share.away = WEIR_AWAY_SHARE;
    weir_rate_config config = weir_rate_config_init();
    config.name = "api";
    config.permits = 1000;
    config.share = &share;
    return weir_rate_create(&config, rate);
}

int main()
{
    weir_policy *rate;
    weir_error error = create_shared(NULL, &rate); /* there is no Redis here, and that is what it says */
    std::puts(weir_error_text());
    return error == WEIR_E_INVALID && std::strstr(weir_error_text(), "weir_share_config.link") != NULL ? 0
                                                                                                       : 1;
}
