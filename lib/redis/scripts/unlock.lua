return redis.error_reply('not built yet')
