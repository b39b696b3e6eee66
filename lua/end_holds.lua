--[[
End holds of a cancelled showtime, some at a call, whatever time they had left.

KEYS     meta seats deadlines checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 limit: holds ended by one call
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         stale_generation, generation, seq | rebuilding | damaged
         not_cancelled
         ended, holds ended, holds left; of a showtime not loaded: 0, 0
RAISES   nothing
EMITS    booking_cancelled, of each hold that was checked out; of a lapsed one booking_expired
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
if meta and meta.status ~= 'cancelled' then
  return {'not_cancelled', now_ms}
end
local ending, left = {}, 0
if meta then
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '-inf', '(inf', 'LIMIT', 0, limit)) do
    local hold = holds.read(keys, owner, meta.policy, now_ms)
    if not hold or not end_hold.sound(keys, meta, hold) then
      return {'damaged', now_ms}
    end
    table.insert(ending, hold)
  end
  -- One member of the set is its sentinel.
  left = redis.call('ZCARD', keys.deadlines) - 1 - #ending
end

-- change
-- A deletion first, whether or not a hold is ended: the rest must not be refused at maxmemory.
redis.call('ZREM', keys.lapses, showtime.number(keys.meta))
if meta then
  local trace = request.trace(request_text)
  for _, hold in ipairs(ending) do
    if hold.lapsed then
      end_hold.expire(keys, meta, generation, hold, now_ms, 'payment_timeout', trace)
    else
      end_hold.cancel(keys, meta, generation, hold, now_ms, 'showtime_cancelled', trace)
    end
  end
  showtime.save(keys.meta, meta)
  deadlines.renew(keys.deadlines, keys.lapses, keys.meta)
end

-- answer
local answer = {'ended', now_ms, #ending, left}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
