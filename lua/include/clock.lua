-- Now, in ms since 1970, by Redis' own clock: the only clock that decides anything.
local clock = {}

-- Read once per script: two readings could fall on both sides of a deadline.
function clock.now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

return clock
