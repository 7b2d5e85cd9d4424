-- Leases slots anew. KEYS: calls in flight of each scope, then what is remembered of each.
-- ARGV: lease in microseconds, key life in seconds, ids. A slot that Redis forgot comes back: its call
-- is still in flight.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local ends = string.format('%.0f', now + tonumber(ARGV[1]))
local scopes = #KEYS / 2
for at = 1, scopes do
  local key = KEYS[at]
  remembered(KEYS[at + scopes], now, tonumber(ARGV[1]), tonumber(ARGV[2]))
  ours(key, 'zset')
  for i = 3, #ARGV do redis.call('ZADD', key, ends, ARGV[i]) end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('EXPIRE', key, tonumber(ARGV[2]))
end
return 1
