-- What was learned of a deployment's limits per minute: a hash that holds of each dimension (1 requests,
-- 2 tokens, 3 input, 4 output) what its provider told ('told1'), and of the last call it refused for it
-- when that was ('cut1', microseconds), to what the rate was lowered ('low1') and from what ('was1').
-- It climbs back within a minute, and past it slowly at first, in case the limit stands.
local GENTLY, PAST, FEWEST = 0.95, 0.004, 60

local function climbed(low, was, minutes)
  if minutes <= 1 then return low + (was - low) * minutes end
  return math.min(1e15, was + was * PAST * (minutes - 1) ^ 3)
end

-- The rate of each dimension of which one was learned, and when each was lowered last.
local function learned(key, now, minute)
  ours(key, 'hash')
  local rates, cuts = {}, {}
  for dimension = 1, 4 do
    local kept = redis.call('HMGET', key, 'told' .. dimension, 'low' .. dimension,
      'was' .. dimension, 'cut' .. dimension)
    local told, low, was, cut = finite(kept[1]), finite(kept[2]), finite(kept[3]), finite(kept[4])
    if told and told >= 1 then rates[dimension] = math.floor(told) end
    -- Lowered later than now: the clock was set back, or it is none of ours.
    if low and was and cut and low >= 1 and was >= low and cut <= now then
      local rate = math.floor(climbed(low, was, (now - cut) / minute))
      rates[dimension] = math.min(rates[dimension] or rate, rate)
      cuts[dimension] = cut
    end
  end
  return rates, cuts
end

-- The provider refused a call granted ``at`` when so much was ``used`` of its minute, by so many
-- ``calls``, all since ``since``. Once a minute: what it refuses meanwhile was under way already, or is
-- what the count of a whole minute will show.
local function lower(key, dimension, at, used, calls, since, now, minute, life)
  local rates, cuts = learned(key, now, minute)
  local cut, rate = cuts[dimension], rates[dimension]
  if calls < 1 or cut and (at <= cut or now - cut < minute) then return end
  local was = used * minute / math.max(minute / 12, math.min(minute, now - since))
  -- Nearly all of it was used: that is where it was refused.
  if rate and was >= rate * GENTLY then was = rate end
  -- A few refused calls among few say nothing of a rate.
  local fewest = math.ceil(used / calls * FEWEST)
  was = math.max(fewest, math.floor(was))
  local low = math.max(fewest, math.floor(was * GENTLY))
  redis.call('HSET', key, 'cut' .. dimension, string.format('%.0f', now),
    'was' .. dimension, string.format('%.0f', was), 'low' .. dimension, string.format('%.0f', low))
  redis.call('EXPIRE', key, life)
end
