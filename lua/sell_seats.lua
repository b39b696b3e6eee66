--[[
Sell the seats of a paid booking: its live hold becomes a sale; without one, only if all its seats are still free.

KEYS     meta seats deadlines checkouts facts request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject  7 booking  8 gateway
         9 payment session  10.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         sold_already, sale number
         not_found (another's hold) | showtime_closed, CANCELLED or ENDED or FROZEN | hold_changed
         not_on_sale, sales_open_ms (late payment only)
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)... as in claim_seats (late payment only)
         sold, sale number (the hold's owner number), late 0 or 1, seq
RAISES   an index that is no seat of the showtime, or comes twice
EMITS    seats_sold; booking_expired, for each lapsed booking that is taken over, and first for the booking itself
         when its own lapsed hold was still there
COST     O(seats sold + seats of the holds taken over)
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
-- include: end_hold
-- include: takeover
-- include: facts

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], facts = KEYS[5], request = KEYS[6],
}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local booking, gateway, session = ARGV[7], ARGV[8], ARGV[9]
local FIRST_SEAT = 10

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
local seats, runs = seat_map.read(ARGV, FIRST_SEAT, #ARGV, meta.seats)
local cell = struct.pack(formats.OWNER, owner)
local sold = seat_map.all(keys.seats, meta.seats, runs, cell)
  and #seat_look.marked(keys.seats, meta.seats, formats.SOLD_MAP, seats) or 0
local hold, damaged = holds.read(keys, owner, rules, now_ms)
-- A seat that is held and sold at once was sold to somebody else, whose number is lost.
if damaged or (hold and (sold > 0 or not end_hold.sound(keys, meta, hold))) then
  return {'damaged', now_ms}
end
if sold == #seats then
  return {'sold_already', now_ms, owner}
end
-- Who opened the payment has proved to be the hold's owner; a guest may have become somebody since (move_hold).
local mine = hold and (hold.subject == subject or hold.payment_open == 1)
if hold and (not mine or hold.claimed_at_ms ~= claimed_at_ms) then
  return {'not_found', now_ms}
end
local late = not hold or hold.lapsed
-- A running checkout may finish; a late payment is a new claim of free seats.
refusal = late and showtime.closed(meta, now_ms) or showtime.over(meta, now_ms)
if refusal then
  return refusal
end
local lapsed = {}
if late then
  local verdict = takeover.judge(keys, meta, seats, subject, now_ms)
  if not verdict then
    return {'damaged', now_ms}
  end
  if #verdict.taken > 0 then
    return takeover.refusal(verdict.taken, now_ms)
  end
  lapsed = end_hold.joined({hold}, verdict.lapsed)
elseif table.concat(hold.seats, ' ') ~= table.concat(seats, ' ') then
  return {'hold_changed', now_ms}
end

-- change
local trace = request.trace(request_text)
if late then
  -- Each of these begins with a deletion: nothing at maxmemory may keep paid seats from being sold.
  for _, gone in ipairs(lapsed) do
    end_hold.expire(keys, meta, generation, gone, now_ms, 'payment_timeout', trace)
  end
  customer_record.drop(keys.meta, subject, owner, #seats)
else
  end_hold.forget(keys, hold, #seats)
  seat_map.set(keys.seats, meta.seats, formats.LOCKED_MAP, runs, 0, cell)
end
seat_map.set(keys.seats, meta.seats, formats.SOLD_MAP, runs, 1, cell)
meta.version = meta.version + 1
showtime.save(keys.meta, meta)
local seq = facts.emit(keys.facts, keys.meta, generation, 'seats_sold', session, now_ms, {
  booking = booking,
  gateway = gateway,
  session = session,
  sale = owner,
  late = late,
  seats = seats,
}, trace)

-- answer
local answer = {'sold', now_ms, owner, late and 1 or 0, seq}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
