-- Replays: the success of a request is kept under its id and given again.
-- The text of a request is its fingerprint, and after a space, if there is one, the trace context.
local request = {}

local REPLAY_GRACE_MS = 600000

local function fingerprint_of(text)
  return string.match(text, '^[^ ]*')
end

-- Give what was answered before, or nil if this request is new or is not to be remembered.
function request.recall(request_key, text, now_ms)
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
function request.remember(request_key, text, answer, until_ms, now_ms)
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

function request.trace(text)
  return string.match(text, ' (.*)$') or ''
end

return request
