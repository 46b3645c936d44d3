-- The breaker that a fleet has in common: merges what its instances see, and gives turns to probe.
--
-- KEYS  1: a hash, the state; 2: a sorted set, instances by the ms at which they count as gone
-- ARGV  1: id; 2..27: the numbers of WEIR_ASK_BREAKER (weir/transport.h)
-- keeps e epoch; s state (0 closed, 1 open, 2 half open); u ms at which that began (0) or ends (1; 2: the turn); l level;
--       p whose turn it is; w probes won in this epoch by all; g b c v sums of good, bad, slow calls and votes (left as
--       they were when it opened); n the time of the last question; and by id "sequence epoch good bad slow vote won"
-- Every change of s is e + 1; what an instance has told in another epoch counts as nothing. All is absolute: the same
-- question may come twice, or the whole state may be lost, and be told anew.

local a = {}
for i = 2, #ARGV do a[i - 1] = tonumber(ARGV[i]) end
local sequence, epoch, state, left, level, good, bad, slow, vote, want, won, lost, holds,
      calls_min, failure, z, plain, slow_percent, quorum = unpack(a, 1, 19)
local open, open_max, ramp, probes, successes, turn, presence = unpack(a, 20, 26)
local id = ARGV[1]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = { 'e', 's', 'u', 'l', 'w', 'g', 'b', 'c', 'v', 'n' }
local kept = redis.call('HMGET', KEYS[1], 'e', 's', 'u', 'l', 'w', 'g', 'b', 'c', 'v', 'n', 'p', id)
local it = { p = kept[11] or '' }

-- What no question of ours has left is as if it were lost; else it would be told, refused and kept alive for ever.
local most, sound = { e = 2 ^ 48, s = 2, l = 31, v = 2 ^ 31 }, true
for i, name in ipairs(names) do
    local number = tonumber(kept[i] or 0)
    it[name] = number
    sound = sound and number and number >= 0 and number <= (most[name] or 2 ^ 53) and number % 1 == 0
end
if not sound then
    redis.call('DEL', KEYS[1], KEYS[2])
    it, kept[12] = { e = 0, s = 0, u = 0, l = 0, w = 0, g = 0, b = 0, c = 0, v = 0, n = 0, p = '' }, false
end

local function record(text)
    local r = { 0, 0, 0, 0, 0, 0, 0 }
    local i = 1
    for number in string.gmatch(text or '', '%d+') do r[i], i = tonumber(number), i + 1 end
    return r
end

local function add(r, sign)
    if it.s ~= 0 or r[2] ~= it.e then return end
    it.g, it.b, it.c, it.v = it.g + sign * r[3], it.b + sign * r[4], it.c + sign * r[5], it.v + sign * r[6]
end

local function open_time()
    local t = open
    for _ = 1, it.l do
        if t >= open_max then break end
        t = t * 2
    end
    return math.min(t, open_max)
end

local function become(s, till)
    it.e, it.s, it.u, it.p, it.w = it.e + 1, s, till, '', 0
    if s == 0 then it.g, it.b, it.c, it.v = 0, 0, 0, 0 end
end

-- The clock went back: nobody's end is to be trusted, all are told anew.
if now < it.n then
    redis.call('DEL', KEYS[1], KEYS[2])
    it.g, it.b, it.c, it.v, it.p = 0, 0, 0, 0, ''
    it.u = it.s == 1 and math.min(it.u, now + open_time()) or now
    kept[12] = false
end
if it.s ~= 0 then it.u = math.min(it.u, now + 86400000) end

local mine = record(kept[12])
if sequence <= mine[1] then return { -1 } end

-- A key was lost, or a part of one: who has an entry may be there yet; what else was summed up is nobody's.
if math.max(0, redis.call('HLEN', KEYS[1]) - #names - 1) ~= redis.call('ZCARD', KEYS[2]) then
    local fields, ours = redis.call('HGETALL', KEYS[1]), { p = true }
    for _, name in ipairs(names) do ours[name] = true end
    if it.s == 0 then it.g, it.b, it.c, it.v = 0, 0, 0, 0 end
    for i = 1, #fields, 2 do
        if not ours[fields[i]] then
            add(record(fields[i + 1]), 1)
            redis.call('ZADD', KEYS[2], 'NX', now + presence, fields[i])
        end
    end
end

add(mine, -1)

local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 64)
for _, other in ipairs(gone) do
    if other ~= id then add(record(redis.call('HGET', KEYS[1], other)), -1) end
    if other == it.p then it.p = '' end
    redis.call('HDEL', KEYS[1], other)
    redis.call('ZREM', KEYS[2], other)
end

if epoch > it.e then
    it.e, it.l, it.p, it.w, it.g, it.b, it.c, it.v = epoch, level, '', 0, 0, 0, 0, 0
    it.s, it.u = 0, now
    if state ~= 0 then it.s, it.u = 1, now + math.min(left, open_time()) end
end

local known = epoch == it.e
local own = known and mine[2] == epoch and mine[7] or 0
local told = { sequence, epoch, good, bad, slow, vote }
if presence == 0 then
    redis.call('HDEL', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
else
    add(told, 1)
    redis.call('ZADD', KEYS[2], now + presence, id)
end
local active = redis.call('ZCARD', KEYS[2])

local function is_ill()
    local calls, percent = it.g + it.b, failure
    if calls < calls_min then return false end
    local excess = it.b * 100 - calls * percent
    if z > 0 and excess > 0 and excess * excess * 100 > z * z * percent * (100 - percent) * calls then return true end
    if plain > 0 and it.b * 100 >= calls * plain then return true end
    return slow_percent > 0 and it.c * 100 >= calls * slow_percent
end

-- Never one alone: who else is there is not known yet if the state was lost, and a fleet of one has its own breaker.
local function is_voted()
    return it.v >= math.max(2, math.ceil(quorum * active / 100))
end

local function grant()
    it.p, it.u = id, now + turn
end

if it.s == 0 then
    if is_ill() and is_voted() then
        if now - it.u >= ramp then it.l = 0 end
        become(1, now + open_time())
    end
elseif it.s == 1 then
    if now >= it.u and want == 1 and known then
        become(2, 0)
        grant()
    end
else
    if it.p == id and known then
        it.w, own = it.w + math.max(0, won - own), math.max(won, own)
        if lost == 1 then
            it.l = math.min(it.l + 1, 31)
            become(1, now + open_time())
        elseif it.w >= successes then
            become(0, now)
        elseif holds == 0 then
            it.p = ''
        end
    end
    if it.s == 2 and now >= it.u then it.p = '' end
    if it.s == 2 and it.p == '' and want == 1 and known then grant() end
end

told[7] = own
for i, number in ipairs(told) do told[i] = string.format('%.0f', number) end
local set = { 'p', it.p }
it.n = now
for _, name in ipairs(names) do
    set[#set + 1] = name
    set[#set + 1] = string.format('%.0f', it[name])
end
if presence > 0 then
    set[#set + 1] = id
    set[#set + 1] = table.concat(told, ' ')
end
redis.call('HSET', KEYS[1], unpack(set))
local ttl = string.format('%.0f', 2 * (open_max + turn + ramp) + presence)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)

local granted = 0
if it.s == 2 and it.p == id then
    if it.e ~= epoch then own = 0 end
    granted = math.max(0, probes - (it.w - own))
end
local rest = 0
if it.s ~= 0 then rest = math.max(0, it.u - now) end
return { it.e, it.s, rest, granted, active, it.v, it.g + it.b, it.b, it.l }
