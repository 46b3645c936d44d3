-- UNLOCK: gives a lock back, if it is its id's.
-- KEYS  1 the lock: "id until ttl" (lock.lua)
-- ARGV  1 id
-- Reply {1}, or {0}
local value = redis.call('GET', KEYS[1])
if not value then return {0} end
local id = value:match('^(%x+) %d+ %d+$')
if not id then return redis.error_reply('WEIR the key of a lock holds something else') end
if id ~= ARGV[1] then return {0} end
redis.call('DEL', KEYS[1])
return {1}
