-- What the ledger knows of calls made before the windows of one scope began. KEYS: its windows. ARGV:
-- minute, travel, the longest call, day (microseconds), key life (seconds), until when they are
-- forgotten, as the grant said, whether days are kept; then of each entry: 's' or 'd', how long it still
-- stands, requests, input and output tokens. Answers 1, or 0 where another was first.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local minute, travel, call = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local day, life = tonumber(ARGV[4]), tonumber(ARGV[5])
local grain = { minute = minute / 240, day = day / 240 }
local longest = longest_of(minute, travel, call, day, grain)
local w = window(KEYS[1], now, grain, longest, minute)
if w.state.process ~= process_now() or w.state.from ~= ARGV[6] then return 0 end
for n = 8, #ARGV, 5 do
  local phase = ARGV[n]
  put(w, phase, index_of(now + tonumber(ARGV[n + 1]), phase == 'd' and grain.day or grain.minute),
    tonumber(ARGV[n + 2]), tonumber(ARGV[n + 3]), tonumber(ARGV[n + 4]))
end
say(w, { from = '0', since = string.format('%.0f', now), day = ARGV[7] })
keep(w, ARGV[7] == '1' and math.max(life, day / 500000) or life)
return 1
