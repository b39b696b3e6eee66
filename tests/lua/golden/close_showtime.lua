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
local not_after_ms, request_text = tonumber(ARGV[2]), ARGV[3]

-- check
local now_ms = clock_now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
local replay = request_recall(keys.request, request_text, now_ms)
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
request_remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
