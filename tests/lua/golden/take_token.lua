--[[
Take requests out of a caller's bucket (GCRA): one number says when the bucket is empty again.

KEYS     rate
ARGV     1 cost_us: how long the requests taken fill the bucket  2 burst_us: how full it may be
RETURNS  rate_limited, ahead_us (nothing was taken)
         taken, ahead_us: time until the bucket is empty
RAISES   OOM at maxmemory, before anything changed
EMITS    nothing
COST     O(1): GET and SET
]]
local clock_now_ms
do
local time = redis.call('TIME')
clock_now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- names
local rate_key = unpack(KEYS)
local cost_us, burst_us = tonumber(ARGV[1]), tonumber(ARGV[2])

-- check
local now_ms = clock_now_ms
local now_us = now_ms * 1000
-- A value that is no number is an empty bucket, and one beyond the burst was left by a clock since set back.
local ahead_us = math.min(math.max((tonumber(redis.pcall('GET', rate_key)) or 0) - now_us, 0), burst_us)
if ahead_us + cost_us > burst_us then
  return {'rate_limited', now_ms, ahead_us}
end

-- change
ahead_us = ahead_us + cost_us
redis.call('SET', rate_key, string.format('%.0f', now_us + ahead_us), 'PX', math.ceil(ahead_us / 1000))

-- answer
local answer = {'taken', now_ms, ahead_us}
return answer
