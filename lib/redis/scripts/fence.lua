-- FENCE: puts a fence up to a token, if it is lower.
-- KEYS  1 the fence: the greatest token (lock.lua)
-- ARGV  1 id, not used   2 token   3 ttl of the fence, ms
-- Reply {the greatest token}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fence = tonumber(redis.call('GET', KEYS[1]) or '0')
if not (fence and fence < 2 ^ 53) then return redis.error_reply('WEIR the key of a fence holds something else') end
fence = math.max(fence, tonumber(ARGV[2]))
redis.call('SET', KEYS[1], string.format('%.0f', fence), 'PXAT', string.format('%.0f', now + tonumber(ARGV[3])))
return {fence}
