-- RENEW: a lock's new ttl, if it is its id's.
-- KEYS  1 the lock: "id until ttl" (lock.lua)
-- ARGV  1 id   2 ttl, ms
-- Reply {1}, or {0}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local value = redis.call('GET', KEYS[1])
if not value then return {0} end
local id, till = value:match('^(%x+) (%d+) %d+$')
if not id then return redis.error_reply('WEIR the key of a lock holds something else') end
if id ~= ARGV[1] or now > tonumber(till) then return {0} end
local at = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. at .. ' ' .. ARGV[2], 'PXAT', at)
return {1}
