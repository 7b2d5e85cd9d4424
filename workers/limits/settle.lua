-- Calls that ended: their slots come back, and what they did not use of their bounds.
-- KEYS: of each scope its windows and its calls in flight; then what was learned of the first. ARGV:
-- minute, travel, the longest call, day (microseconds), key life (seconds), how many scopes, of each
-- the longest call of any that counts in its windows ('' = it keeps none); then of all calls, as one
-- JSON array, arrays of: id, when it was granted, input and output it counts by, input and output used
-- (false: not known), whether it took anything of a limit, of which limit per minute it was refused (1
-- to 4; 0: of none), how long after its grant it had ended at the latest (null: by now), its bounds of
-- input and output.
-- A slot that is not there any more was given back before, or has lapsed: what it counts by stays.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local minute, travel, call = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local day, life, scopes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local grain = { minute = minute / 240, day = day / 240 }
local process, ended, ids, lapsed = process_now(), {}, {}, {}
for number = 1, scopes do ours(KEYS[number * 2], 'zset') end

local function there(number, one) return redis.call('ZREM', KEYS[number * 2], one[1]) == 1 end

for _, one in ipairs(cjson.decode(ARGV[7 + scopes])) do
  if there(1, one) then
    ended[#ended + 1], ids[#ids + 1] = one, one[1]
  else
    lapsed[#lapsed + 1] = one
  end
end
for number = 2, scopes do
  for start = 1, #ids, 1000 do
    redis.call('ZREM', KEYS[number * 2], unpack(ids, start, math.min(#ids, start + 999)))
  end
end
-- What lapsed in the first scope may be in another still; what was told twice is in none.
for _, one in ipairs(lapsed) do
  local mine = false
  for number = 2, scopes do
    local found = there(number, one)
    mine = mine or found
  end
  if mine then ended[#ended + 1] = one end
end

local function refused(w)
  local at, used = {}, { 0, 0, 0, 0 }
  for _, one in ipairs(ended) do
    local dimension = one[8]
    if dimension > 0 then at[dimension] = math.max(at[dimension] or 0, one[2]) end
  end
  if not next(at) then return end
  for _, cell in pairs(w.cells) do
    if cell[1] ~= 'd' then
      used[1], used[2] = used[1] + cell[3], used[2] + cell[4] + cell[5]
      used[3], used[4] = used[3] + cell[4], used[4] + cell[5]
    end
  end
  for dimension = 1, 4 do
    if at[dimension] then
      lower(KEYS[scopes * 2 + 1], dimension, at[dimension], used[dimension], used[1], now, minute, life)
    end
  end
end

-- What many calls change of one cell is put there at once.
local function add(cells, at, grain, r, i, o)
  local index = index_of(at, grain)
  local sum = cells[index]
  if sum then
    sum[1], sum[2], sum[3] = sum[1] + r, sum[2] + i, sum[3] + o
  else
    cells[index] = { r, i, o }
  end
end

for number = 1, scopes do
  local longest_call = tonumber(ARGV[6 + number])
  if longest_call and #ended > 0 then
    local longest = longest_of(minute, travel, longest_call, day, grain)
    local w = window(KEYS[number * 2 - 1], now, grain, longest, minute)
    local since = finite(w.state.since)
    if w.state.process == process and finite(w.state.from) == 0 and since then
      local sums = { p = {}, s = {}, d = {} }
      for _, one in ipairs(ended) do
        local _, at, input, output, used_input, used_output, sent, _, after, most, most_output =
          unpack(one)
        local arrives, ends = at + travel + minute, at + travel + call + minute
        -- From before what is kept began: it stands there with what the ledger knew of it.
        if at >= since and sent and not used_input then
          add(sums.p, arrives, grain.minute, 0, most - input, 0)
          add(sums.p, ends, grain.minute, 0, 0, most_output - output)
        elseif at >= since then
          add(sums.p, arrives, grain.minute, -1, -input, 0)
          add(sums.p, ends, grain.minute, 0, 0, -output)
          if sent then
            -- It reached the provider at the latest when it ended, and some time before.
            local over = math.min(now, at + (after == cjson.null and math.huge or after))
            local arrived = math.min(at + travel, over)
            add(sums.s, arrived + minute, grain.minute, 1, used_input, 0)
            add(sums.s, over + minute, grain.minute, 0, 0, used_output)
          elseif w.state.day == '1' then
            add(sums.d, at + travel + day, grain.day, -1, 0, 0)
          end
        end
      end
      for phase, cells in pairs(sums) do
        for index, sum in pairs(cells) do put(w, phase, index, sum[1], sum[2], sum[3]) end
      end
      keep(w, w.state.day == '1' and math.max(life, day / 500000) or life)
      if number == 1 then refused(w) end
    end
  end
end
return #ended
