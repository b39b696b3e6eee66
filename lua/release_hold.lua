--[[
End a hold before its time and free its seats; a hold that is gone already is no harm.

KEYS     meta seats deadlines checkouts facts request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject, '' for staff and the system
         7 ending: cancelled, expired, or given_back: only while it is not checked out  8 reason, e.g. customer
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         gone | not_found (another's) | is_booking (given_back only): to be cancelled as one
         released, version
RAISES   nothing
EMITS    booking_cancelled | booking_expired, of a hold that was checked out; of a lapsed one always booking_expired
COST     O(seats of the hold)
]]
-- include: clock
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: holds
-- include: end_hold

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], facts = KEYS[5], request = KEYS[6],
}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject, ending, reason = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local hold, damaged = holds.read(keys, owner, meta.policy, now_ms)
if damaged then
  return {'damaged', now_ms}
end
if not hold or hold.claimed_at_ms ~= tonumber(claimed_at_ms) then
  return {'gone', now_ms}
end
if subject ~= '' and hold.subject ~= subject then
  return {'not_found', now_ms}
end
if ending == 'given_back' and hold.status == 'P' and not hold.lapsed then
  return {'is_booking', now_ms}
end
if not end_hold.sound(keys, meta, hold) then
  return {'damaged', now_ms}
end

-- change
local trace = request.trace(request_text)
if hold.lapsed then
  end_hold.expire(keys, meta, generation, hold, now_ms, 'payment_timeout', trace)
elseif ending == 'expired' then
  end_hold.expire(keys, meta, generation, hold, now_ms, reason, trace)
else
  end_hold.cancel(keys, meta, generation, hold, now_ms, reason, trace)
end
showtime.save(keys.meta, meta)

-- answer
local answer = {'released', now_ms, showtime.version(meta, keys.deadlines, now_ms)}
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
