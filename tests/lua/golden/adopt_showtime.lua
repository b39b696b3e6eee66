--[[
Take a showtime over into a new generation, when its data was proved complete up to a seq.

KEYS     meta sold locked blocked owners holds deadlines customers checkouts request
ARGV     1 new generation  2 not_after_ms  3 request  4 old generation  5 old seq  6 fence: owner numbers begin anew,
         for those of claims that Redis may have lost must never be given again
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | damaged
         stale_generation, generation, seq: it is not what was proved
         adopted, version
RAISES   nothing
EMITS    nothing
COST     O(1)
]]
local clock = (function()
-- Now, in ms since 1970, by Redis' own clock: the only clock that decides anything. Read once, as a value and not by
-- a function: two readings could fall on both sides of a deadline.
local time = redis.call('TIME')

return {now_ms = time[1] * 1000 + math.floor(time[2] / 1000)}
end)()
local request = (function()
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
end)()
local intact = (function()
-- Whether a showtime's keys are all there, of their type, and of full length. Lost memory must never read as
-- "all free"; and an error of Redis halfway through a change would leave half of the change behind.
local intact = {}

-- `keys` holds, by name, any of: sold, locked, blocked, owners, holds, customers, checkouts, deadlines, facts, lapses.
function intact.check(keys, seats)
  for _, name in ipairs({'sold', 'locked', 'blocked'}) do
    local key = keys[name]
    if key and (redis.pcall('STRLEN', key) ~= math.floor(seats / 8) + 1 or redis.call('GETBIT', key, seats) ~= 1) then
      return false
    end
  end
  if keys.owners and redis.pcall('STRLEN', keys.owners) ~= 4 * seats then
    return false
  end
  for _, name in ipairs({'holds', 'customers', 'checkouts'}) do
    if keys[name] and redis.pcall('HEXISTS', keys[name], '0') ~= 1 then
      return false
    end
  end
  if keys.deadlines and redis.pcall('ZSCORE', keys.deadlines, '0') ~= 'inf' then
    return false
  end
  -- The partition's own keys may be absent, but not of another type.
  return not (keys.facts and type(redis.pcall('XLEN', keys.facts)) ~= 'number')
    and not (keys.lapses and type(redis.pcall('ZCARD', keys.lapses)) ~= 'number')
end

return intact
end)()

-- names
local keys = {
  meta = KEYS[1], sold = KEYS[2], locked = KEYS[3], blocked = KEYS[4], owners = KEYS[5], holds = KEYS[6],
  deadlines = KEYS[7], customers = KEYS[8], checkouts = KEYS[9], request = KEYS[10],
}
local generation, not_after_ms, request_text = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local old_generation, old_seq, fence = ARGV[4], ARGV[5], ARGV[6]

-- check
local now_ms = clock.now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
local replay = request.recall(keys.request, request_text, now_ms)
if replay then
  return replay
end
local fields = redis.pcall('HMGET', keys.meta, 'generation', 'seq', 'seats', 'version')
if fields.err then
  return {'damaged', now_ms}
end
local stamp, seq, seats, version = fields[1], fields[2], tonumber(fields[3]), tonumber(fields[4])
if not stamp and not fields[3] then
  return {'not_loaded', now_ms}
end
if not (stamp and seq and seats and version) or not intact.check(keys, seats) then
  return {'damaged', now_ms}
end
if stamp ~= old_generation or seq ~= old_seq then
  return {'stale_generation', now_ms, stamp, seq}
end
-- Changes that left no fact may be lost, and viewers have seen their versions: go beyond them, as a load does.
local grown = math.max(now_ms, version + redis.call('ZCARD', keys.deadlines) + 1)

-- change
redis.call('HDEL', keys.meta, 'generation')
redis.call('HSET', keys.meta, 'generation', generation, 'seq', 0, 'version', grown, 'fence', fence)

-- answer
local answer = {'adopted', now_ms, grown}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
