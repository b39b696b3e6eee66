--[[
Note that a booking's payment failed: its seats may be changed again, and three times it gets more time to pay.

KEYS     meta deadlines checkouts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         not_found | hold_expired
         payment_closed, the hold answer (include/hold_answer.lua); a repeat gives no more time
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
-- include: deadlines
-- include: hold_answer

-- names
local keys = {meta = KEYS[1], deadlines = KEYS[2], checkouts = KEYS[3], lapses = KEYS[4], request = KEYS[5]}
local generation, not_after_ms, request_text, owner, claimed_at_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local PAYMENT_RETRIES_MAX = 3
local ANYBODY = ''

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local rules = meta.policy
local hold
hold, refusal = holds.own(keys, owner, claimed_at_ms, ANYBODY, meta, now_ms)
if refusal then
  return refusal
end

-- change
if hold.payment_open == 1 then
  hold.payment_open = 0
  if hold.retries < PAYMENT_RETRIES_MAX then
    hold.retries = hold.retries + 1
    local later_ms = math.max(hold.deadline_ms, now_ms + rules.payment_retry_ttl_ms)
    hold.deadline_ms = math.min(later_ms, hold.claimed_at_ms + rules.claim_max_ms)
  end
  holds.save(keys.meta, hold)
  deadlines.set(keys.deadlines, keys.lapses, keys.meta, meta, hold.owner, hold.deadline_ms)
end

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('payment_closed', now_ms, version, hold, rules.hold_max_ms)
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
