--[[
Give seats of a sale back to stock: only those that still are that very sale's.

KEYS     meta seats facts request
ARGV     1 generation  2 not_after_ms  3 request  4 subject  5 booking  6 sale number  7 business id of the fact
         8.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         restocked_already: no seat of these is the sale's any more
         restocked, seats freed...
RAISES   an index that is no seat of the showtime, or comes twice
EMITS    seats_restocked
COST     O(seats given)
]]
-- include: clock
-- include: formats
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: seat_map
-- include: seat_look
-- include: customer_record
-- include: facts

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], facts = KEYS[3], request = KEYS[4]}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local subject, booking, sale, business_id = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
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
local seats, runs = seat_map.read(ARGV, FIRST_SEAT, #ARGV, meta.seats)
local freed = {}
local marks = seat_look.marks(keys.seats, meta.seats, runs)
for i, owner in ipairs(seat_look.owners(keys.seats, meta.seats, runs)) do
  -- ABA: the seat may have been sold again meanwhile, or claimed under a new number.
  if owner == sale and marks[i][formats.SOLD_MAP + 1] == 1 then
    table.insert(freed, seats[i])
  end
end
if #freed == 0 then
  return {'restocked_already', now_ms}
end

-- change
customer_record.drop(keys.meta, subject, 0, -#freed)
seat_map.set(keys.seats, meta.seats, formats.SOLD_MAP, seat_look.runs(freed), 0, formats.NOBODY)
meta.version = meta.version + 1
showtime.save(keys.meta, meta)
facts.emit(keys.facts, keys.meta, generation, 'seats_restocked', business_id, now_ms, {
  booking = booking,
  sale = sale,
  seats = freed,
}, request.trace(request_text))

-- answer
local answer = {'restocked', now_ms, unpack(freed)}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
