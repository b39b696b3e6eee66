--[[
End holds whose time is over, so that viewers are told; correctness does not depend on it.

KEYS     meta seats deadlines checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 limit: holds ended by one call
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         stale_generation, generation, seq | rebuilding | damaged
         expired, holds ended, next_lapse_ms (0: no hold); of a showtime not loaded: 0, 0
RAISES   nothing
EMITS    booking_expired, of each hold that was checked out
COST     O(seats of the holds ended)
]]
-- include: clock
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: holds
-- include: deadlines
-- include: end_hold

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], facts = KEYS[5], lapses = KEYS[6],
  request = KEYS[7],
}
local generation, not_after_ms, request_text, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal and refusal[1] ~= 'not_loaded' then
  return refusal
end
if meta and not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local lapsed, capped = {}, {}
if meta then
  local latest_ms = now_ms + meta.policy.ahead_max_ms
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '-inf', now_ms, 'LIMIT', 0, limit)) do
    local hold = holds.read(keys, owner, meta.policy, now_ms)
    if not hold or not end_hold.sound(keys, meta, hold) then
      return {'damaged', now_ms}
    end
    table.insert(lapsed, hold)
  end
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '(' .. latest_ms, '(inf', 'LIMIT', 0, limit)) do
    table.insert(capped, {owner = owner, deadline_ms = latest_ms})
  end
end

-- change
local next_lapse_ms = 0
if meta then
  for _, hold in ipairs(lapsed) do
    end_hold.expire(keys, meta, generation, hold, now_ms, 'payment_timeout', request.trace(request_text))
  end
  -- A deletion first, whether or not a hold was ended: the rest must not be refused at maxmemory.
  redis.call('ZREM', keys.lapses, showtime.number(keys.meta))
  showtime.save(keys.meta, meta)
  deadlines.mend(keys.deadlines, keys.lapses, keys.meta, meta, capped)
  next_lapse_ms = deadlines.renew(keys.deadlines, keys.lapses, keys.meta)
else
  redis.call('ZREM', keys.lapses, showtime.number(keys.meta))
end

-- answer
local answer = {'expired', now_ms, #lapsed, next_lapse_ms}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
