-- The sliding windows of one scope: a hash that holds, by when they leave the window, what was granted
-- and has not ended ('p', at its bound), what has ended ('s', at what it used), and the requests of a
-- day ('d'). Each as "requests input output"; a field's number is that time in grains, rounded up.
-- The state beside them: which process keeps them ('process'), until when what was granted before it
-- may still arrive ('from', 0: all is known), since when ('since'), and whether days are kept ('day').
local function index_of(at, grain) return math.ceil(at / grain) end

-- How far ahead a cell of each phase may leave: none was put there further.
local function longest_of(minute, travel, call, day, grain)
  return {
    p = minute + travel + call + grain.minute, s = minute + travel + grain.minute, d = day + grain.day,
  }
end

local function put(w, phase, index, r, i, o)
  local field = phase .. string.format('%.0f', index)
  local cell = w.cells[field] or { phase, index, 0, 0, 0 }
  -- What nobody remembers cannot be taken back.
  cell[3], cell[4], cell[5] =
    math.max(0, cell[3] + r), math.max(0, cell[4] + i), math.max(0, cell[5] + o)
  w.cells[field], w.changed[field] = cell, true
end

local MOST, match, tonumber = 1e16, string.match, tonumber

local function window(key, now, grain, longest, minute)
  ours(key, 'hash')
  local kept = redis.call('HGETALL', key)
  local w = { key = key, cells = {}, changed = {}, state = {} }
  for n = 1, #kept, 2 do
    local field, value = kept[n], kept[n + 1]
    local phase, index = match(field, '^([psd])(%d+)$')
    local r, i, o
    if phase then r, i, o = match(value, '^(%d+) (%d+) (%d+)$') end
    if r then r, i, o, index = tonumber(r), tonumber(i), tonumber(o), tonumber(index) end
    if r and r < MOST and i < MOST and o < MOST and index < MOST then
      local ends = index * (phase == 'd' and grain.day or grain.minute)
      if ends <= now then
        w.changed[field] = true
      elseif ends > now + longest[phase] then
        -- The clock was set back: it has a whole window before it again.
        w.changed[field] = true
        local long = phase == 'd' and longest.d or minute
        put(w, phase == 'd' and 'd' or 's',
          index_of(now + long, phase == 'd' and grain.day or grain.minute), r, i, o)
      else
        w.cells[field] = { phase, index, r, i, o }
      end
    elseif phase then
      w.changed[field] = true
    else
      w.state[field] = value
    end
  end
  return w
end

local function keep(w, life)
  for field in pairs(w.changed) do
    local cell = w.cells[field]
    if cell and cell[3] + cell[4] + cell[5] > 0 then
      redis.call('HSET', w.key, field, string.format('%.0f %.0f %.0f', cell[3], cell[4], cell[5]))
    else
      redis.call('HDEL', w.key, field)
    end
  end
  redis.call('EXPIRE', w.key, life)
end

local function say(w, state)
  for name, value in pairs(state) do
    w.state[name] = value
    redis.call('HSET', w.key, name, value)
  end
end
