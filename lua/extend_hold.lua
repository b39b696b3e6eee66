--[[
Give a hold its full time again, within hold_max from its claim, ten times at most, before check-out only.

KEYS     meta deadlines checkouts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         showtime_closed, CANCELLED or ENDED or FROZEN | not_on_sale, sales_open_ms
         not_found | hold_expired | cannot_extend
         extended, the hold answer (include/hold_answer.lua)
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
refusal = showtime.closed(meta, now_ms)
if refusal then
  return refusal
end
local rules = meta.policy
local hold
hold, refusal = holds.own(keys, owner, claimed_at_ms, subject, meta, now_ms)
if refusal then
  return refusal
end
local deadline_ms = math.min(now_ms + rules.hold_ttl_ms, hold.claimed_at_ms + rules.hold_max_ms)
if hold.status ~= 'H' or hold.extensions >= hold_answer.EXTENSIONS_PER_HOLD_MAX or deadline_ms <= hold.deadline_ms then
  return {'cannot_extend', now_ms}
end

-- change
hold.extensions = hold.extensions + 1
hold.deadline_ms = deadline_ms
holds.save(keys.meta, hold)
deadlines.set(keys.deadlines, keys.lapses, keys.meta, meta, hold.owner, deadline_ms)

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('extended', now_ms, version, hold, rules.hold_max_ms)
request.remember(keys.request, request_text, answer, deadline_ms, now_ms)
return answer
