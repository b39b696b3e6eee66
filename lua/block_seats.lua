--[[
Take seats out of sale for staff, all or nothing, or give blocked ones back.

KEYS     meta seats deadlines checkouts facts request
ARGV     1 generation  2 not_after_ms  3 request  4 mode: block or unblock  5 evict 0 or 1: end live holds in the way
         6.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)... as in claim_seats (block only)
         blocked, version, seats... | unblocked, version, seats given back...
RAISES   an index that is no seat of the showtime, or comes twice
EMITS    booking_expired, for each lapsed booking in the way; booking_cancelled, for each that is evicted
COST     O(seats given + seats of the holds ended)
]]
-- include: clock
-- include: formats
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: seat_map
-- include: seat_look
-- include: end_hold
-- include: takeover

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], facts = KEYS[5], request = KEYS[6],
}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local blocking, evict = ARGV[4] == 'block', ARGV[5] == '1'
local FIRST_SEAT = 6

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local seats = seat_map.read(ARGV, FIRST_SEAT, #ARGV, meta.seats)
local lapsed, evicted = {}, {}
if blocking then
  local verdict = takeover.judge(keys, meta, seats, '', now_ms)
  if not verdict then
    return {'damaged', now_ms}
  end
  local taken = evict and verdict.kept or verdict.taken
  if #taken > 0 then
    return takeover.refusal(taken, now_ms)
  end
  lapsed, evicted = verdict.lapsed, verdict.live
else
  seats = seat_look.marked(keys.seats, meta.seats, formats.BLOCKED_MAP, seats)
end

-- change
-- A deletion first: at maxmemory it lets the rest follow.
redis.call('HDEL', keys.meta, 'none')
local trace = request.trace(request_text)
for _, hold in ipairs(lapsed) do
  end_hold.expire(keys, meta, generation, hold, now_ms, 'payment_timeout', trace)
end
for _, hold in ipairs(evicted) do
  end_hold.cancel(keys, meta, generation, hold, now_ms, 'staff', trace)
end
if #seats > 0 then
  seat_map.set(keys.seats, meta.seats, formats.BLOCKED_MAP, seat_look.runs(seats), blocking and 1 or 0,
    struct.pack(formats.OWNER, blocking and formats.BLOCKED or 0))
  meta.version = meta.version + 1
  showtime.save(keys.meta, meta)
end

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = {blocking and 'blocked' or 'unblocked', now_ms, version, unpack(seats)}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
