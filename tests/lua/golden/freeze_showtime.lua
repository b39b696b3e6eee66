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
local clock_now_ms
do
local time = redis.call('TIME')
clock_now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end
local request_recall, request_remember
do
local REPLAY_GRACE_MS = 600000
local function fingerprint_of(text)
  return string.match(text, '^[^ ]*')
end
-- Give what was answered before, or nil if this request is new or is not to be remembered.
function request_recall(request_key, text, now_ms)
  local fingerprint = fingerprint_of(text)
  local kept = fingerprint ~= '' and redis.call('GET', request_key)
  if not kept then
    return nil
  end
  local memory = cmsgpack.unpack(kept)
  if memory[1] ~= fingerprint then
    return {'idempotency_key_reused', now_ms}
  end
  memory[1] = 'replayed'
  table.insert(memory, 2, now_ms)
  return memory
end
-- Keep a success until `until_ms` and the grace have passed.
function request_remember(request_key, text, answer, until_ms, now_ms)
  local fingerprint = fingerprint_of(text)
  if fingerprint == '' then
    return
  end
  local memory = {fingerprint}
  for i = 1, #answer do
    memory[i + 1] = answer[i]
  end
  local ttl_ms = math.max(until_ms - now_ms, 0) + REPLAY_GRACE_MS
  redis.call('SET', request_key, cmsgpack.pack(memory), 'PX', ttl_ms)
end
end

-- names
local keys = {meta = KEYS[1], loading = KEYS[2], request = KEYS[3]}
local not_after_ms, request_text, state, damaged_ms = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])

-- check
local now_ms = clock_now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
local replay = request_recall(keys.request, request_text, now_ms)
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
request_remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
