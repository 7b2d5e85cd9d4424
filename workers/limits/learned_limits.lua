-- What was learned of a deployment's limits per minute: a hash that holds of each dimension (1 requests,
-- 2 tokens, 3 input, 4 output) what its provider told ('told1'), and of what it refused: when
-- ('cut1', microseconds), how much of the minute was used then ('was1'), what is asked for at most since
-- ('low1'), and how often in a row it was refused about there ('tries1').
-- What it refuses once may be chance: how much was used then, and when, is kept ('once1', 'seen1'), and
-- so of the time before ('before1', 'first1'). Where both are alike, that is where it refuses.
local GENTLY, PAST, ALIKE, FEWEST, BURST, OLD, MOST_TRIES = 0.98, 0.004, 0.75, 4, 1 / 6, 4, 4

local function alike(one, other)
  return one and other and math.min(one, other) >= math.max(one, other) * ALIKE
end

-- Kept for 2 minutes, 4, 8, 16; then one more is tried than was refused, and more and more.
local function climbed(kept, now, minute)
  local past = (now - kept.cut) / minute - 2 ^ kept.tries
  if past < 0 then return kept.low end
  return math.floor(math.min(1e15, kept.was + 1 + kept.was * PAST * past ^ 3))
end

local FIELDS = { 'told', 'cut', 'was', 'low', 'tries', 'once', 'seen', 'before', 'first' }

local function kept_of(key, dimension, now)
  local names, kept = {}, {}
  for n, name in ipairs(FIELDS) do names[n] = name .. dimension end
  for n, value in ipairs(redis.call('HMGET', key, unpack(names))) do kept[FIELDS[n]] = finite(value) end
  local tries = kept.tries
  kept.tries = tries and math.max(1, math.min(MOST_TRIES, math.floor(tries))) or 1
  -- Later than now: the clock was set back, or it is none of ours.
  if not (kept.was and kept.low and kept.cut) or kept.low < 1 or kept.was < kept.low or kept.cut > now then
    kept.cut = nil
  end
  if not (kept.once and kept.seen) or kept.seen > now then kept.once = nil end
  if not (kept.before and kept.first) or kept.first > now then kept.before = nil end
  return kept
end

-- The rate of each dimension of which one was learned, and what the provider told alone.
local function learned(key, now, minute)
  local rates, told = {}, {}
  if not ours(key, 'hash') then return rates, told end
  for dimension = 1, 4 do
    local kept = kept_of(key, dimension, now)
    if kept.told and kept.told >= 1 then told[dimension] = math.floor(kept.told) end
    local rate = kept.cut and climbed(kept, now, minute)
    rates[dimension] = rate and math.min(rate, told[dimension] or rate) or told[dimension]
  end
  return rates, told
end

-- The provider refused a call granted ``at`` when so much was ``used`` of its minute, by ``calls``.
local function lower(key, dimension, at, used, calls, now, minute, life)
  ours(key, 'hash')
  -- A few refused calls among few say nothing of a rate; nor does how much is left a while later.
  if calls < FEWEST or used < 1 or now - at > minute / 4 then return end
  local kept, news = kept_of(key, dimension, now), {}
  local function under_way(since) return at < since + minute * BURST end
  if kept.cut and under_way(kept.cut) then
    -- The more of them have ended, the better is known how much was used.
    if used >= kept.was or not alike(used, kept.was) and used < kept.was / 2 then return end
    news.was, news.low = used, math.min(kept.low, used)
  elseif kept.cut and used >= kept.was * ALIKE then
    news.cut, news.was, news.tries = now, used, 1
    local rate = climbed(kept, now, minute)
    if rate == kept.low then
      news.low = math.max(1, math.min(used, math.floor(kept.low * GENTLY)))
      news.was = math.max(news.low, math.min(used, kept.low))
    else
      if used <= kept.was / GENTLY + 1 then news.was = math.min(used, kept.was) end
      news.low = news.was
    end
    if used <= kept.was / ALIKE then news.tries = math.min(MOST_TRIES, kept.tries + 1) end
  else
    news.once, news.seen = used, now
    if kept.once and under_way(kept.seen) then
      news.once, news.seen = math.min(used, kept.once), kept.seen
    elseif kept.once then
      news.before, news.first = kept.once, kept.seen
      kept.before, kept.first = kept.once, kept.seen
    end
    if kept.before and alike(news.once, kept.before) and now - kept.first <= OLD * minute then
      news = { cut = news.seen, was = news.once, low = news.once, tries = 1 }
      redis.call('HDEL', key, 'once' .. dimension, 'seen' .. dimension, 'before' .. dimension,
        'first' .. dimension)
    end
  end
  for name, value in pairs(news) do
    redis.call('HSET', key, name .. dimension, string.format('%.0f', value))
  end
  redis.call('EXPIRE', key, life)
end
