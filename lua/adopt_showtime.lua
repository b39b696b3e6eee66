--[[
Take a showtime over into a new generation, when its data was proved complete up to a seq.

KEYS     meta seats deadlines checkouts request
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
-- include: clock
-- include: request
-- include: intact

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], request = KEYS[5]}
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
local fields = redis.pcall('HMGET', keys.meta, 'generation', 'seq', 'seats_count', 'version')
if fields.err then
  return {'damaged', now_ms}
end
local stamp, seq, seats_count, version = fields[1], fields[2], tonumber(fields[3]), tonumber(fields[4])
if not stamp and not fields[3] then
  return {'not_loaded', now_ms}
end
if not (stamp and seq and seats_count and version) or not intact.check(keys, seats_count) then
  return {'damaged', now_ms}
end
if stamp ~= old_generation or seq ~= old_seq then
  return {'stale_generation', now_ms, stamp, seq}
end
-- Changes that left no fact may be lost, and viewers have seen their versions: go beyond them, as a load does.
local grown = math.max(now_ms, version + redis.call('ZCARD', keys.deadlines) + 1)

-- change
-- A deletion first: at maxmemory it lets the rest follow. Not of a field that is there: it would come back as the last
-- one, and every look at it would pass all holds.
redis.call('HDEL', keys.meta, 'none')
redis.call('HSET', keys.meta, 'generation', generation, 'seq', 0, 'version', grown, 'fence', fence)

-- answer
local answer = {'adopted', now_ms, grown}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
