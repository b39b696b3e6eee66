--[[
Give a live hold or booking to another customer: a guest has become somebody. Seats, deadline and prices stay.

KEYS     meta seats deadlines checkouts request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject  7 new subject
         8 the checkout as it was read, '' before check-out  9 the checkout to keep instead
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         not_found | hold_expired
         hold_changed: it was checked out since it was read
         hold_limit, (owner, claimed_at_ms)... of the new customer's live holds
         seat_limit, seats left to the new customer
         moved, the hold answer (include/hold_answer.lua)
RAISES   nothing
EMITS    nothing
COST     O(seats of both customers' holds)
]]
-- include: clock
-- include: entry
-- include: request
-- include: showtime
-- include: intact
-- include: holds
-- include: customer_record
-- include: customer_holds
-- include: end_hold
-- include: hold_answer

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], request = KEYS[5]}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject, new_subject = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local checkout_read, checkout = ARGV[8], ARGV[9]

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
if not end_hold.sound(keys, meta, hold) then
  return {'damaged', now_ms}
end
if hold.checkout ~= checkout_read then
  return {'hold_changed', now_ms}
end
local customer = customer_record.find(keys.meta, new_subject)
local theirs = customer_holds.read(keys, meta, customer, now_ms)
if not theirs then
  return {'damaged', now_ms}
end
if #theirs.live >= rules.holds_per_customer_max then
  return {'hold_limit', now_ms, unpack(customer_holds.names(theirs.live))}
end
local left = rules.seats_per_customer_max - customer.bought - theirs.seats
if #hold.seats > left then
  return {'seat_limit', now_ms, math.max(left, 0)}
end

-- change
hold.subject = new_subject
holds.save(keys.meta, hold)
customer_record.drop(keys.meta, subject, hold.owner, 0)
customer_record.add(keys.meta, new_subject, hold.owner)
if hold.status == 'P' then
  hold.checkout = checkout
  redis.call('HSET', keys.checkouts, hold.owner, checkout)
end
-- Nobody else sees a change, but for the two of them other seats are their own now.
meta.version = meta.version + 1
showtime.save(keys.meta, meta)

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('moved', now_ms, version, hold, rules.hold_max_ms)
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
