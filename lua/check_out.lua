--[[
Turn a held hold into a booking under the same id, with the buyer, the prices of this moment and one new deadline.

KEYS     meta deadlines checkouts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject  7 checkout (JSON text)
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         not_found | hold_expired
         already_checked_out, the hold answer: nothing was renewed
         showtime_closed, CANCELLED or ENDED or FROZEN | not_on_sale, sales_open_ms
         checked_out, the hold answer (include/hold_answer.lua)
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
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject, checkout = ARGV[4], ARGV[5], ARGV[6], ARGV[7]

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
hold, refusal = holds.own(keys, owner, claimed_at_ms, subject, meta, now_ms)
if refusal then
  return refusal
end
if hold.status == 'P' then
  local version = showtime.version(meta, keys.deadlines, now_ms)
  return hold_answer.give('already_checked_out', now_ms, version, hold, rules.hold_max_ms)
end
refusal = showtime.closed(meta, now_ms)
if refusal then
  return refusal
end

-- change
hold.status, hold.checkout = 'P', checkout
hold.deadline_ms = math.min(now_ms + rules.payment_ttl_ms, hold.claimed_at_ms + rules.claim_max_ms)
holds.save(keys.meta, hold)
redis.call('HSET', keys.checkouts, hold.owner, checkout)
redis.call('PEXPIREAT', keys.checkouts, rules.keys_until_ms)
deadlines.set(keys.deadlines, keys.lapses, keys.meta, meta, hold.owner, hold.deadline_ms)

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('checked_out', now_ms, version, hold, rules.hold_max_ms)
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
