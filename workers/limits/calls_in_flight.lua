-- What somebody else left under our keys is as if it were not there.
-- Returns whether there is anything of ours.
local function ours(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
  return found == kind
end

local function finite(text)
  local number = tonumber(text)
  return number and math.abs(number) < 1e16 and number
end

-- The process that runs this; asked once, since its answer is long.
local process

local function process_now()
  if not process then
    local info = redis.pcall('INFO', 'server')
    process = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '?'
  end
  return process
end

-- What is remembered of the calls in flight behind ``key``: since when, in microseconds, all of them
-- are known. Redis has forgotten some where nothing is remembered, where it is another process than
-- the one that remembered (it was restarted, or a replica took over), and where nobody has spoken to
-- it for so long that slots lapsed unrenewed. A lease later whoever lives has renewed its own. So it is
-- of calls from before they were bounded (``begun``, microseconds of the ledger's clock; 0: always).
local function remembered(key, now, lease, life, begun)
  local process = process_now()
  ours(key, 'hash')
  local kept = redis.call('HMGET', key, 'process', 'seen', 'from', 'begun')
  local seen, from = finite(kept[2]), finite(kept[3])
  if kept[1] ~= process or not (seen and from) or math.abs(now - seen) >= lease * 2 / 3
    or from > now + lease or (begun or 0) > (finite(kept[4]) or 0) then
    from = now + lease
    redis.call('HSET', key, 'begun', string.format('%.0f', begun or finite(kept[4]) or 0))
  end
  redis.call('HSET', key, 'process', process, 'seen', string.format('%.0f', now),
    'from', string.format('%.0f', from))
  redis.call('EXPIRE', key, life)
  return from
end
