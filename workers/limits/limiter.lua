-- Decides one slice; see limiter.py for the promise.
-- The scopes: the deployment, its tier, then what its calls share with others' (account, budget).
-- KEYS: of each scope its windows, its calls in flight, what is remembered of those; then what was
-- learned of the first scope.
-- ARGV: lease, check-again, minute, travel, the longest call, day (microseconds), key life (seconds),
-- how many scopes, whether what was found counts; of each scope: limits of requests, tokens, input
-- and output tokens a minute, of requests a day, of calls in flight ('' = not bounded), whether its
-- windows are kept, the longest call of any that counts in them, the bits of its calls in flight, of
-- those forgotten, of its windows forgotten and of its rates ('' = a bit for each dimension), from when
-- on its calls count (microseconds of the ledger's clock, 0: always); then of all calls wanted, as one
-- JSON array, arrays of id, input and output tokens: one by one they cost the worker more than all else.
-- Answers: how many were granted, microseconds to wait, bits of LIMITS, the time; then of each scope
-- until when it is forgotten (0: it is not) and what is used of its five dimensions; then what was
-- learned of the first four of the first ('': nothing).
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local lease, again, minute = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local travel, call, day = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local life, scopes, by_learned = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local rates, told = learned(KEYS[scopes * 3 + 1], now, minute)
local grain = { minute = minute / 240, day = day / 240 }
local DIMENSIONS, WIDTH = { 1, 2, 4, 8, 16 }, 13

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

local wait, why = 0, {}

local function stop(bit, seconds)
  why[bit], wait = true, math.max(wait, seconds)
end

local function scope(number)
  local at = 9 + (number - 1) * WIDTH
  local s = {
    most = tonumber(ARGV[at + 6]), windows = ARGV[at + 7] == '1', from = 0,
    calls_key = KEYS[number * 3 - 1], bit = tonumber(ARGV[at + 9]), used = { 0, 0, 0, 0, 0 },
    rate = tonumber(ARGV[at + 12]),
  }
  local begun = tonumber(ARGV[at + 13])
  local limits = {}
  for dimension = 1, 5 do limits[dimension] = tonumber(ARGV[at + dimension]) end
  s.limits, s.soft = limits, {}
  for dimension = 1, number == 1 and s.windows and 4 or 0 do
    -- A trial goes whatever was found, but not where the provider itself says that it would be refused.
    local rate = (by_learned and rates or told)[dimension]
    if rate and rate < (limits[dimension] or math.huge) then
      limits[dimension], s.soft[dimension] = rate, true
    end
  end
  if s.most then
    s.calls = crowd(s.calls_key)
    local known = remembered(KEYS[number * 3], now, lease, life, begun)
    if known > now then stop(tonumber(ARGV[at + 10]), known - now) end
  end
  if not s.windows then return s end
  local longest = longest_of(minute, travel, tonumber(ARGV[at + 8]), day, grain)
  local w, process = window(KEYS[number * 3 - 2], now, grain, longest, minute), process_now()
  local from = finite(w.state.from)
  local days = not limits[5] or w.state.day == '1'
  -- What was granted while nothing was set of it was not counted.
  local gap = begun > (finite(w.state.begun) or 0)
  if w.state.process ~= process or not from or (from == 0 and not days) or gap then
    redis.call('DEL', w.key)
    w = { key = w.key, cells = {}, changed = {}, state = {} }
    from = now + travel
    say(w, { process = process, from = string.format('%.0f', from), since = string.format('%.0f', now),
      day = '0', begun = string.format('%.0f', begun) })
    redis.call('EXPIRE', w.key, life)
  elseif from > now + travel then
    from = now + travel
    say(w, { from = string.format('%.0f', from) })
  end
  if from > 0 then
    s.from = from
    stop(tonumber(ARGV[at + 11]), from - now)
  end
  s.window = w
  for _, cell in pairs(w.cells) do
    if cell[1] == 'd' then
      s.used[5] = s.used[5] + cell[3]
    else
      s.used[1] = s.used[1] + cell[3]
      s.used[3] = s.used[3] + cell[4]
      s.used[4] = s.used[4] + cell[5]
    end
  end
  s.used[2] = s.used[3] + s.used[4]
  return s
end

local function amount(cell, dimension)
  if (cell[1] == 'd') ~= (dimension == 5) then return 0 end
  if dimension == 2 then return cell[4] + cell[5] end
  return dimension < 3 and cell[3] or dimension == 5 and cell[3] or cell[dimension + 1]
end

-- Microseconds until ``over`` have left the window of a dimension, or may have been given back: of what
-- is granted ``just`` now, too.
local function leaves(s, dimension, over, just)
  local order, pending = {}, just > 0 and dimension > 1 and dimension < 5
  for _, cell in pairs(s.window.cells) do
    local much = amount(cell, dimension)
    if much > 0 then
      order[#order + 1] = { cell[2] * (dimension == 5 and grain.day or grain.minute), much }
      pending = pending or cell[1] == 'p'
    end
  end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  local wait = minute
  for _, cell in ipairs(order) do
    over = over - cell[2]
    if over <= 0 then
      wait = cell[1] - now
      break
    end
  end
  if not pending then return wait end
  return dimension == 1 and math.max(math.min(wait, again), wait - travel) or math.min(wait, again)
end

local all, granted = {}, 0
for number = 1, scopes do all[number] = scope(number) end

local wanted = cjson.decode(ARGV[10 + scopes * WIDTH])
for _, want in ipairs(wanted) do
  local input, output = want[2], want[3]
  local cost = { 1, input + output, input, output, 1 }
  for _, s in ipairs(all) do
    for dimension = 1, 5 do
      local limit, used, soft = s.limits[dimension], s.used[dimension], s.soft[dimension]
      -- What was learned is a guess: one call alone may always go.
      local alone = soft and used == 0
      if limit and s.from == 0 and used + cost[dimension] > limit and not alone then
        local over = used + cost[dimension] - limit
        local soon = leaves(s, dimension, soft and math.min(over, used) or over, granted)
        stop(s.rate or DIMENSIONS[dimension], soon)
      end
    end
    if s.most and s.calls >= s.most then stop(s.bit, first_leaves(s.calls_key)) end
  end
  if next(why) then break end
  granted = granted + 1
  for _, s in ipairs(all) do
    for dimension = 1, 5 do s.used[dimension] = s.used[dimension] + cost[dimension] end
    s.calls = s.most and s.calls + 1
  end
end

local function enter(key)
  local ends = string.format('%.0f', now + lease)
  -- Of killed workers: nobody else takes them out where calls in flight are not bounded.
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for start = 1, granted, 1000 do
    local members = {}
    for i = start, math.min(granted, start + 999) do
      members[#members + 1] = ends
      members[#members + 1] = wanted[i][1]
    end
    redis.call('ZADD', key, unpack(members))
  end
  redis.call('EXPIRE', key, life)
end

local input, output = 0, 0
for i = 1, granted do
  input, output = input + wanted[i][2], output + wanted[i][3]
end
local bits = 0
for bit in pairs(why) do bits = bits + bit end
local answer = { granted, math.ceil(wait), bits, string.format('%.0f', now) }
for _, s in ipairs(all) do
  answer[#answer + 1] = string.format('%.0f', s.from)
  for dimension = 1, 5 do answer[#answer + 1] = string.format('%.0f', s.used[dimension]) end
  if granted > 0 and (s.most or s.windows) then enter(s.calls_key) end
  if s.window then
    if granted > 0 then
      put(s.window, 'p', index_of(now + travel + minute, grain.minute), granted, input, 0)
      put(s.window, 'p', index_of(now + travel + call + minute, grain.minute), 0, 0, output)
      if s.window.state.day == '1' then
        put(s.window, 'd', index_of(now + travel + day, grain.day), granted, 0, 0)
      end
    end
    keep(s.window, s.window.state.day == '1' and math.max(life, day / 500000) or life)
  end
end
for dimension = 1, 4 do
  answer[#answer + 1] = rates[dimension] and string.format('%.0f', rates[dimension]) or ''
end
return answer
