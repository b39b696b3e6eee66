-- Move seats from the hash of free ones to the hash of locked ones, if all are free.
-- KEYS free locked   ARGV who, until_ms, seat...
local taken = {}
for i = 3, #ARGV do
  local text = redis.call('HGET', KEYS[1], ARGV[i])
  if not text then
    return 0
  end
  taken[#taken + 1] = text
end
for i = 3, #ARGV do
  local seat = cjson.decode(taken[i - 2])
  seat.holder = ARGV[1]
  seat.until_ms = tonumber(ARGV[2])
  redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('HSET', KEYS[2], ARGV[i], cjson.encode(seat))
end
return 1
