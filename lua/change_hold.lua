--[[
Add seats to a live hold and take seats off it, all or nothing; its deadline stays.

KEYS     meta seats deadlines checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject  7 count of seats to add
         8.. seats to add, then seats to remove; a seat in both is removed
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         showtime_closed, CANCELLED or ENDED or FROZEN | not_on_sale, sales_open_ms
         not_found | hold_expired | payment_open
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)... as in claim_seats
         too_many_seats, seats_per_hold_max
         seat_limit, seats left to the customer
         empty_hold
         changed, the hold answer (include/hold_answer.lua)
RAISES   an index that is no seat of the showtime, or comes twice in one list
EMITS    booking_expired, for each lapsed booking that is taken over
COST     O(seats of the hold + seats given + seats of the holds taken over)
]]
-- include: clock
-- include: formats
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: seat_map
-- include: seat_look
-- include: holds
-- include: customer_record
-- include: customer_holds
-- include: deadlines
-- include: end_hold
-- include: takeover
-- include: hold_answer

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], facts = KEYS[5], lapses = KEYS[6],
  request = KEYS[7],
}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject, add_count = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local FIRST_SEAT = 8

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
if hold.payment_open == 1 then
  return {'payment_open', now_ms}
end
if not end_hold.sound(keys, meta, hold) then
  return {'damaged', now_ms}
end
local add = seat_map.read(ARGV, FIRST_SEAT, FIRST_SEAT + add_count - 1, meta.seats)
local remove = seat_map.read(ARGV, FIRST_SEAT + add_count, #ARGV, meta.seats)
local was, goes, kept, added, removed = {}, {}, {}, {}, {}
for _, seat in ipairs(remove) do
  goes[seat] = true
end
for _, seat in ipairs(hold.seats) do
  was[seat] = true
  table.insert(goes[seat] and removed or kept, seat)
end
for _, seat in ipairs(add) do
  if not was[seat] and not goes[seat] then
    table.insert(added, seat)
    table.insert(kept, seat)
  end
end
table.sort(kept)
local lapsed = {}
if #added > 0 then
  local verdict = takeover.judge(keys, meta, added, subject, now_ms)
  if not verdict then
    return {'damaged', now_ms}
  end
  if #verdict.taken > 0 then
    deadlines.mend(keys.deadlines, keys.lapses, keys.meta, meta, verdict.capped)
    return takeover.refusal(verdict.taken, now_ms)
  end
  lapsed = verdict.lapsed
end
if #added > 0 and #kept > rules.seats_per_hold_max then
  return {'too_many_seats', now_ms, rules.seats_per_hold_max}
end
local customer = customer_record.find(keys.meta, hold.subject)
local mine = customer_holds.read(keys, meta, customer, now_ms)
if not mine then
  return {'damaged', now_ms}
end
local left = rules.seats_per_customer_max - customer.bought - mine.seats + #removed
if #added > 0 and #added > left then
  return {'seat_limit', now_ms, math.max(left, 0)}
end
if #kept == 0 then
  return {'empty_hold', now_ms}
end

-- change
if #added + #removed > 0 then
  hold.seats = kept
  holds.save(keys.meta, hold)
  for _, gone in ipairs(lapsed) do
    end_hold.expire(keys, meta, generation, gone, now_ms, 'payment_timeout', request.trace(request_text))
  end
  local cell = struct.pack(formats.OWNER, hold.owner)
  seat_map.set(keys.seats, meta.seats, formats.LOCKED_MAP, seat_look.runs(removed), 0, formats.NOBODY)
  seat_map.set(keys.seats, meta.seats, formats.LOCKED_MAP, seat_look.runs(added), 1, cell)
  meta.version = meta.version + 1
  showtime.save(keys.meta, meta)
end

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('changed', now_ms, version, hold, rules.hold_max_ms)
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
