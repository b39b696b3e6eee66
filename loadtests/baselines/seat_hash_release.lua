-- Move seats of one holder back.   KEYS free locked   ARGV who, seat...
local freed = 0
for i = 2, #ARGV do
  local text = redis.call('HGET', KEYS[2], ARGV[i])
  if text then
    local seat = cjson.decode(text)
    if seat.holder == ARGV[1] then
      seat.holder, seat.until_ms = nil, nil
      redis.call('HDEL', KEYS[2], ARGV[i])
      redis.call('HSET', KEYS[1], ARGV[i], cjson.encode(seat))
      freed = freed + 1
    end
  end
end
return freed
