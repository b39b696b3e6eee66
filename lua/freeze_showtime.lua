--[[
Freeze a showtime, open it again, or set it under rebuilding, loaded or not; a load in progress is lost.
Only a load ends rebuilding, and brings the state that the ledger says then: until it has, no writer may be let in.
Whoever met damage says when: what was loaded since is another's repair, and its holds must not be lost to a second one.

KEYS     meta loading request
ARGV     1 generation (not compared)  2 not_after_ms  3 request  4 state: open, frozen or rebuilding
         5 when damage was met, by Redis' clock; '' if none was
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         damaged
         showtime_closed, CANCELLED
         loaded_since
         frozen, version (0: it was not loaded)
RAISES   another state
EMITS    nothing
COST     O(1)
]]
-- include: clock
-- include: request

-- names
local keys = {meta = KEYS[1], loading = KEYS[2], request = KEYS[3]}
local not_after_ms, request_text, state, damaged_ms = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])

-- check
local now_ms = clock.now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
local replay = request.recall(keys.request, request_text, now_ms)
if replay then
  return replay
end
assert(state == 'open' or state == 'frozen' or state == 'rebuilding', 'a state is open, frozen or rebuilding')
local fields = redis.pcall('HMGET', keys.meta, 'status', 'version', 'loaded_ms')
if fields.err then
  return {'damaged', now_ms}
end
-- Versions begin at the time of a load: an unreadable one is gone beyond by now.
local status, version = fields[1], tonumber(fields[2] or '0') or now_ms
if status == 'cancelled' then
  return {'showtime_closed', now_ms, 'CANCELLED'}
end
local loaded_ms = damaged_ms and tonumber(fields[3] or '')
-- A load from beyond now was before the clock was set back, and tells nothing.
if loaded_ms and damaged_ms <= loaded_ms and loaded_ms <= now_ms then
  return {'loaded_since', now_ms}
end

-- change
redis.call('UNLINK', keys.loading)
if status and status ~= state and status ~= 'rebuilding' then
  version = version + 1
  redis.call('HSET', keys.meta, 'status', state, 'version', version)
end

-- answer
local answer = {'frozen', now_ms, version}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
