/* Uses weir-redis the way any program does, without a server: that is no error. Prints weir's version. */
#include <stdio.h>
#include <weir/redis.h>

int main(void)
{
    struct weir_link *redis = NULL;
    if (weir_redis_create(WEIR_CONFIG(weir_redis_config, .address = "unix:/nonexistent/redis"), &redis))
        return 1;
    weir_redis_step(redis);
    weir_redis_close(redis, 0);
    puts(weir_version());
    return 0;
}
