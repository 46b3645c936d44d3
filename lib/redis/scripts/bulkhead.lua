-- Permits that a fleet has in common, by absolute count (weir/transport.h, BULKHEAD).
--
-- KEYS[1] weir:{space:name}:s    a hash: by id "sequence granted counted want greedy short"; and the sums over all of them:
--                                t counted, m wanted by the modest, g greedy ones, h short ones, n ids
-- KEYS[2] weir:{space:name}:sm   a sorted set: ids by the ms at which their leases end
-- ARGV    id, sequence, limit, in_use, want, lease (ms)
-- answer  granted, fair share, others that are short, active ones, counted of all; first -1: an old question
--
-- The fair share is max-min: what the modest leave, shared out among the greedy; greedy is who wants more than that.
-- Each question finds its own place anew, so the shares settle as instances renew. Short is who has less than its fair
-- share and wants it. Nothing is taken that was not offered: who has more than its share lowers what it wants. Counted is
-- what is granted, or in use beyond that: then nobody may have it, its holder no more than others.
--
-- Invariants: the sum of what is granted stays within the highest limit that is asked with; both keys end 2 min after the
-- last question; what does not fit together is counted anew from what instances have.
local LEASE_MAX, KEEP, PURGE = 60000, 120000, 64
local hash, set, id = KEYS[1], KEYS[2], ARGV[1]
local sequence, limit, in_use, want, lease =
  tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end

-- No lease ends later than the longest one from now: then the clock went back.
local late = redis.call('ZRANGEBYSCORE', set, '(' .. text(now + LEASE_MAX), '+inf', 'LIMIT', 0, PURGE)
for _, member in ipairs(late) do redis.call('ZADD', set, text(now + LEASE_MAX), member) end

local sums = redis.call('HMGET', hash, 't', 'm', 'g', 'h', 'n')
local counted_of_all, modest, greedy, short, count =
  tonumber(sums[1] or 0), tonumber(sums[2] or 0), tonumber(sums[3] or 0), tonumber(sums[4] or 0), tonumber(sums[5] or 0)
local sound = true
for i = 1, 5 do
  local sum = tonumber(sums[i] or 0)
  sound = sound and sum and sum >= 0 and sum <= 2 ^ 53
end

local function record(member)
  local fields = redis.call('HGET', hash, member)
  if not fields then return nil end
  local s, d, c, w, g, h = string.match(fields, '^(%d+) (%d+) (%d+) (%d+) (%d) (%d)$')
  if not s or math.max(d, c, w) > 2 ^ 53 then return nil end
  return { sequence = tonumber(s), granted = tonumber(d), counted = tonumber(c), want = tonumber(w),
    greedy = tonumber(g), short = tonumber(h) }
end

local function add(one, sign)
  counted_of_all = counted_of_all + sign * one.counted
  if one.greedy == 1 then greedy = greedy + sign else modest = modest + sign * one.want end
  short = short + sign * one.short
  count = count + sign
end

-- What does not fit together: the records say who holds what, and all of them stay for a lease (the longest, if who asks
-- leaves). Else all but who asks would be forgotten, and be granted the same again.
local function count_anew()
  local ends = text(now + (lease > 0 and lease or LEASE_MAX))
  counted_of_all, modest, greedy, short, count = 0, 0, 0, 0, 0
  redis.call('DEL', set)
  local fields = redis.call('HGETALL', hash)
  for i = 1, #fields, 2 do
    local one = record(fields[i])
    if one then
      add(one, 1)
      redis.call('ZADD', set, ends, fields[i])
    elseif #fields[i] > 1 then
      redis.call('HDEL', hash, fields[i])
    end
  end
end

if not sound then count_anew() end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', text(now), 'LIMIT', 0, PURGE)) do
  local one = record(member)
  if one then add(one, -1) end
  redis.call('HDEL', hash, member)
  redis.call('ZREM', set, member)
end
if count ~= redis.call('ZCARD', set) then count_anew() end

local mine, before = record(id), 0
local old = mine and sequence <= mine.sequence
if mine and not old then
  add(mine, -1)
  before = mine.granted
end
if old then sequence = -1 end

local fair = math.max(0, math.floor((limit - modest) / (greedy + 1)))
local granted, counted, is_greedy, is_short = 0, 0, 0, 0
if not old then
  want = math.min(want, limit)
  local share, free = math.max(fair, 1), math.max(0, limit - counted_of_all)
  if short > 0 then free = math.min(free, share) end
  granted = math.min(want, math.max(before, free))
  counted = math.max(granted, in_use)
  if want > fair then is_greedy = 1 end
  if granted < math.min(want, share) then is_short = 1 end
  redis.call('HSET', hash, id,
    string.format('%.0f %.0f %.0f %.0f %d %d', sequence, granted, counted, want, is_greedy, is_short))
  redis.call('ZADD', set, text(now + lease), id)
end
local others = short
if not old then
  counted_of_all, short, count = counted_of_all + counted, short + is_short, count + 1
  if is_greedy == 1 then greedy = greedy + 1 else modest = modest + want end
end
if count > 0 then
  redis.call('HSET', hash, 't', text(counted_of_all), 'm', text(modest), 'g', text(greedy), 'h', text(short), 'n', text(count))
  redis.call('PEXPIREAT', hash, text(now + KEEP))
  redis.call('PEXPIREAT', set, text(now + KEEP))
end
if old then return { -1, 0, 0, 0, 0 } end
return { granted, fair, others, count, counted_of_all }
