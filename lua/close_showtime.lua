--[[
Cancel a showtime for ever, loaded or not: a load in progress is lost, nothing is claimed or sold any more.

KEYS     meta loading request
ARGV     1 generation (not compared: a cancellation holds for every generation)  2 not_after_ms  3 request
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         damaged
         closed, version (0: it was not loaded)
RAISES   nothing
EMITS    nothing
COST     O(1)
]]
-- include: clock
-- include: request

-- names
local keys = {meta = KEYS[1], loading = KEYS[2], request = KEYS[3]}
local not_after_ms, request_text = tonumber(ARGV[2]), ARGV[3]

-- check
local now_ms = clock.now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
local replay = request.recall(keys.request, request_text, now_ms)
if replay then
  return replay
end
local fields = redis.pcall('HMGET', keys.meta, 'status', 'version')
if fields.err then
  return {'damaged', now_ms}
end
-- Versions begin at the time of a load: an unreadable one is gone beyond by now.
local status, version = fields[1], tonumber(fields[2] or '0') or now_ms

-- change
redis.call('UNLINK', keys.loading)
if status and status ~= 'cancelled' then
  version = version + 1
  redis.call('HSET', keys.meta, 'status', 'cancelled', 'version', version)
end

-- answer
local answer = {'closed', now_ms, version}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
