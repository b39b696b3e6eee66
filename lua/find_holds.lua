#!lua flags=no-writes
--[[
Find the live holds that a customer has of one showtime.

KEYS     meta seats deadlines
ARGV     1 generation  2 subject
RETURNS  not_loaded | stale_generation, generation, seq | damaged
         found, (owner, claimed_at_ms)...
RAISES   nothing
EMITS    nothing
COST     O(seats of the customer's holds)
]]
-- include: clock
-- include: showtime
-- include: intact
-- include: customer_record
-- include: customer_holds

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3]}
local generation, subject = ARGV[1], ARGV[2]

-- check
local now_ms = clock.now_ms
local meta, refusal = showtime.look(keys.meta, generation, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local customer = customer_record.find(keys.meta, subject)
local mine = customer_holds.read(keys, meta, customer, now_ms)
if not mine then
  return {'damaged', now_ms}
end

-- answer
return {'found', now_ms, unpack(customer_holds.names(mine.live))}
