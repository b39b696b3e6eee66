--[[
Mark that a payment session of a booking is open: from now its seats cannot be changed. A repeat is harmless.

KEYS     meta deadlines checkouts request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         showtime_closed, CANCELLED or ENDED
         not_found | hold_expired | not_checked_out
         payment_opened, the hold answer (include/hold_answer.lua)
RAISES   nothing
EMITS    nothing
COST     O(seats of the hold)
]]
-- include: clock
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: holds
-- include: hold_answer

-- names
local keys = {meta = KEYS[1], deadlines = KEYS[2], checkouts = KEYS[3], request = KEYS[4]}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject = ARGV[4], ARGV[5], ARGV[6]

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
refusal = showtime.over(meta, now_ms)
if refusal then
  return refusal
end
local hold
hold, refusal = holds.own(keys, owner, claimed_at_ms, subject, meta, now_ms)
if refusal then
  return refusal
end
if hold.status ~= 'P' then
  return {'not_checked_out', now_ms}
end

-- change
hold.payment_open = 1
holds.save(keys.meta, hold)

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('payment_opened', now_ms, version, hold, meta.policy.hold_max_ms)
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
