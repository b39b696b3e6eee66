-- Now, in ms since 1970, by Redis' own clock: the only clock that decides anything. Read once, as a value and not by
-- a function: two readings could fall on both sides of a deadline.
local clock = {}

local time = redis.call('TIME')

clock.now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

return clock
