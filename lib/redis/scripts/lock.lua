-- LOCK: takes a lock for an id, if it is free or that id's, with a fence token above every one before.
-- KEYS  1 the lock: "id until ttl", ms of the server's clock   2 the fence: the greatest token
-- ARGV  1 id   2 ttl, ms   3 floor: a token   4 ttl of the fence, ms
-- Reply {1, token}, or {0, ms left to its holder, greatest token}
--
-- The lock is its holder's up to and with the instant `until`. One that lies further ahead than the holder's own ttl was
-- written by a clock that has gone back since: the holder has no more than its ttl from now, and that is written back.
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)
local ttl = tonumber(ARGV[2])
local fence = tonumber(redis.call('GET', KEYS[2]) or '0')
if not (fence and fence < 2 ^ 53) then return redis.error_reply('WEIR the key of a fence holds something else') end
local value = redis.call('GET', KEYS[1])
if value then
    local id, till, its = value:match('^(%x+) (%d+) (%d+)$')
    if not id then return redis.error_reply('WEIR the key of a lock holds something else') end
    till, its = tonumber(till), tonumber(its)
    if id ~= ARGV[1] and now <= till then
        if till > now + its then
            till = now + its
            local at = string.format('%.0f', till)
            redis.call('SET', KEYS[1], id .. ' ' .. at .. ' ' .. string.format('%.0f', its), 'PXAT', at)
        end
        return {0, till - now, fence}
    end
end
local at = string.format('%.0f', now + ttl)
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. at .. ' ' .. ARGV[2], 'PXAT', at)
fence = math.max(fence + 1, us, tonumber(ARGV[3]))
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PXAT', string.format('%.0f', now + tonumber(ARGV[4])))
return {1, fence}
