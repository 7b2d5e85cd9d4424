-- Decides one slice; see limiter.py for the promise.
-- KEYS: buckets, calls in flight of the deployment, of the tier, what is remembered of each. ARGV:
-- burst and rate of requests, burst and rate of tokens, bounds in flight of deployment and tier
-- ('' = not bounded), lease and look-again in microseconds, key life in seconds, then id and tokens
-- of each call wanted.
-- Answers: how many were granted, microseconds to wait, bits of LIMITS.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local lease, again, life = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local calls_from = ARGV[5] ~= '' and remembered(KEYS[4], now, lease, life) or 0
local tier_from = ARGV[6] ~= '' and remembered(KEYS[5], now, lease, life) or 0

local function filled(name, burst, rate)
  ours(KEYS[1], 'hash')
  local kept = redis.call('HMGET', KEYS[1], name, name .. '_at')
  local level, at = finite(kept[1]), finite(kept[2])
  if not (level and at) then return 0 end
  return math.min(burst, math.max(0, level) + math.max(0, now - at) * rate / 1000000)
end

local function crowd(key)
  ours(key, 'zset')
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  -- Later than any lease: the clock was set back, or it is none of ours.
  redis.call('ZREMRANGEBYSCORE', key, now + lease + life * 1000000, '+inf')
  return redis.call('ZCARD', key)
end

local function first_leaves(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[2] and math.min(again, tonumber(first[2]) - now) or again
end

local r_burst, r_rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local t_burst, t_rate = tonumber(ARGV[3]), tonumber(ARGV[4])
local most, tier_most = tonumber(ARGV[5]), tonumber(ARGV[6])
local requests = r_burst and filled('requests', r_burst, r_rate)
local tokens = t_burst and filled('tokens', t_burst, t_rate)
local calls, tier_calls = most and crowd(KEYS[2]), tier_most and crowd(KEYS[3])

local granted, wait, why = 0, 0, 0
for i = 10, #ARGV, 2 do
  local cost = tonumber(ARGV[i + 1])
  if requests and requests < 1 then
    why = why + 1
    wait = math.max(wait, (1 - requests) / r_rate * 1000000)
  end
  if tokens and tokens < cost then
    why = why + 2
    wait = math.max(wait, (cost - tokens) / t_rate * 1000000)
  end
  if most and calls >= most then
    why = why + 4
    wait = math.max(wait, first_leaves(KEYS[2]))
  end
  if tier_most and tier_calls >= tier_most then
    why = why + 8
    wait = math.max(wait, first_leaves(KEYS[3]))
  end
  if calls_from > now then
    why = why + 16
    wait = math.max(wait, calls_from - now)
  end
  if tier_from > now then
    why = why + 32
    wait = math.max(wait, tier_from - now)
  end
  if why > 0 then break end
  granted = granted + 1
  requests = requests and requests - 1
  tokens = tokens and tokens - cost
  calls = most and calls + 1
  tier_calls = tier_most and tier_calls + 1
end

local function keep(name, level)
  redis.call('HSET', KEYS[1], name, string.format('%.17g', level), name .. '_at',
    string.format('%.0f', now))
  redis.call('EXPIRE', KEYS[1], life)
end
if requests then keep('requests', requests) end
if tokens then keep('tokens', tokens) end

local function enter(key)
  local ends = string.format('%.0f', now + lease)
  for first = 1, granted, 1000 do
    local members = {}
    for i = first, math.min(granted, first + 999) do
      members[#members + 1] = ends
      members[#members + 1] = ARGV[8 + 2 * i]
    end
    redis.call('ZADD', key, unpack(members))
  end
  redis.call('EXPIRE', key, life)
end
if most and granted > 0 then enter(KEYS[2]) end
if tier_most and granted > 0 then enter(KEYS[3]) end
return {granted, math.ceil(wait), why}
