#!lua flags=no-writes
--[[
Read one live hold or booking.

KEYS     meta deadlines checkouts
ARGV     1 generation  2 owner  3 claimed_at_ms  4 subject, '' for staff
RETURNS  not_loaded | stale_generation, generation, seq | damaged
         not_found (never issued, or another's)
         hold_expired, CANCELLED if it ended with its showtime, else ''
         ended: checked out, and cancelled with its showtime | hold, the hold answer (include/hold_answer.lua)
RAISES   nothing
EMITS    nothing
COST     O(seats of the hold)
]]
-- include: clock
-- include: showtime
-- include: intact
-- include: holds
-- include: hold_answer

-- names
local keys = {meta = KEYS[1], deadlines = KEYS[2], checkouts = KEYS[3]}
local generation, owner, claimed_at_ms, subject = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- check
local now_ms = clock.now_ms
local meta, refusal = showtime.look(keys.meta, generation, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local hold
hold, refusal = holds.own(keys, owner, claimed_at_ms, subject, meta, now_ms)
if refusal and refusal[1] ~= 'hold_expired' then
  return refusal
end
-- A cancelled showtime's holds are over before anybody has ended them; a booking is shown as it was.
local cancelled = meta.status == 'cancelled'
if not hold or (cancelled and hold.status == 'H') then
  return {'hold_expired', now_ms, cancelled and 'CANCELLED' or ''}
end

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
if cancelled then
  return hold_answer.give('ended', now_ms, version, hold, meta.policy.hold_max_ms)
end
return hold_answer.give('hold', now_ms, version, hold, meta.policy.hold_max_ms)
