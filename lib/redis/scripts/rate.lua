-- The bucket of a rate limit that a fleet shares: GCRA by the server's clock, tokens lent ahead of need.
--
-- KEYS  1 hash:  t     the theoretical arrival time; units of 1/16 us since 2026-01-01 00:00 UTC
--                h     unspent tokens of all instances together
--                <id>  "sequence unspent", what that instance has told, with what it was lent on top
--       2 sorted set of the ids by the ms since then at which they count as gone, and their unspent tokens with them
-- ARGV  id, sequence, permits, period (us), burst, want, unspent, returned, debit, hold_max, lease (ms), watermark,
--       presence (ms)
--
-- n tokens take n * 16 * period / permits units. What is taken is rounded up, what is there is rounded down: the rate is
-- never above the one asked for. The numbers are such that no product reaches 2^53.
--
-- A watermark above 0 is a lower bound of t; one below 0 is that, too, but only if nothing is known of the instance: the
-- store may have lost its state. Whatever it says, t is at most a full bucket from now.
--
-- In the answer: granted, t, now, active instances, us until a token is there, unspent of all.
local id, sequence = ARGV[1], tonumber(ARGV[2])
local permits, token = tonumber(ARGV[3]), 16 * tonumber(ARGV[4])
local burst, want, unspent = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local returned, debit, hold_max = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local watermark, stays = tonumber(ARGV[12]), math.max(tonumber(ARGV[11]), tonumber(ARGV[13]))

local time = redis.call('TIME')
local seconds = tonumber(time[1]) - 1767225600
local now = seconds * 16000000 + tonumber(time[2]) * 16
local now_ms = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)

local function text(n) return string.format('%.0f', n) end
local function units(n) return math.ceil(n * token / permits) end
local function entry(name)
    local known = redis.call('HGET', KEYS[1], name)
    if not known then return nil end
    local seq, held = string.match(known, '^(%d+) (%d+)$')
    return tonumber(seq), tonumber(held)
end

-- What no question of ours has left (not even a number) is as if it were lost.
local function kept(name)
    local n = tonumber(redis.call('HGET', KEYS[1], name) or '0')
    return n and n >= 0 and n <= 2 ^ 53 and n or 0
end

local known, own = entry(id)
if known and sequence <= known then return { -1 } end

local all = kept('h')
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now_ms), 'LIMIT', 0, 64)) do
    local _, held = entry(gone)
    all = all - (held or 0)
    if gone == id then known, own = nil, nil end
    redis.call('HDEL', KEYS[1], gone)
    redis.call('ZREM', KEYS[2], gone)
end
-- The clock went back: nobody stays for longer than by an answer of now.
for _, late in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. text(now_ms + stays), '+inf', 'LIMIT', 0, 64)) do
    redis.call('ZADD', KEYS[2], text(now_ms + stays), late)
end

-- A key was lost, or a part of one. Who has an entry may be there and hold what it says, for a while yet: else all but who
-- asks would be forgotten, and be lent the same again.
local function count_anew()
    local fields = redis.call('HGETALL', KEYS[1])
    all = 0
    for i = 1, #fields, 2 do
        local name, held = fields[i], string.match(fields[i + 1], '^%d+ (%d+)$')
        if held then
            all = all + tonumber(held)
            redis.call('ZADD', KEYS[2], 'NX', text(now_ms + stays), name)
        elseif name ~= 't' and name ~= 'h' then
            redis.call('HDEL', KEYS[1], name)
        end
    end
end
if math.max(0, redis.call('HLEN', KEYS[1]) - 2) ~= redis.call('ZCARD', KEYS[2]) then count_anew() end
local others = math.max(0, all - (own or 0))

local span = math.floor(burst * token / permits)
local t = kept('t')
if watermark > t then t = watermark end
if not known and -watermark > t then t = -watermark end
t = math.min(math.max(t, now), now + span)
t = math.max(now, t - math.floor(returned * token / permits))
t = math.min(now + span, t + units(debit))

redis.call('ZADD', KEYS[2], text(now_ms + stays), id)
local active = redis.call('ZCARD', KEYS[2])
if active == 1 then others = 0 end -- whatever h said

-- Who comes late finds half of what is left, at least one.
local room = now + span - t
local there = math.floor(room * permits / token)
local granted = math.min(want, there)
if active > 1 then granted = math.min(granted, math.max(1, math.floor(there / (2 * active)))) end
if hold_max > 0 then
    local free = math.max(0, hold_max - others - unspent)
    if active > 1 and free > 1 then free = math.floor(free / 2) end
    granted = math.min(granted, free)
end
if there < 1 then granted = 0 end
t = t + units(granted)
all = others + unspent + granted

redis.call('HSET', KEYS[1], 't', text(t), 'h', text(all), id, text(sequence) .. ' ' .. text(unspent + granted))
local ttl = text(math.ceil((t - now) / 16000) + stays + 1000)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)

local missing = math.max(0, units(1) - (now + span - t))
return { granted, tonumber(text(t)), tonumber(text(now)), active, math.ceil(missing / 16), all }
