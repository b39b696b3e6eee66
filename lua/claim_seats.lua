--[[
Claim seats for a customer: all of them, or none.

KEYS     meta sold locked blocked owners holds deadlines customers checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 subject (16 bytes)  5.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         showtime_closed, CANCELLED or ENDED or FROZEN | not_on_sale, sales_open_ms
         too_many_seats, seats_per_hold_max
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)...
           reason: LOCKED, LOCKED_BY_ME, SOLD, BLOCKED; owner and claimed_at_ms are 0 unless LOCKED_BY_ME
         hold_limit, (owner, claimed_at_ms)... of the customer's live holds
         seat_limit, seats left to the customer
         claimed, the hold answer (include/hold_answer.lua)
RAISES   OOM at maxmemory, before anything changed; an index that is no seat of the showtime, or comes twice
EMITS    booking_expired, for each lapsed booking that is taken over
COST     O(seats asked + seats of the holds taken over)
]]
-- include: clock
-- include: entry
-- include: request
-- include: showtime
-- include: seat_map
-- include: hold_record
-- include: customer_record
-- include: customer_holds
-- include: deadlines
-- include: end_hold
-- include: takeover
-- include: hold_answer

-- names
local keys = {
  meta = KEYS[1], sold = KEYS[2], locked = KEYS[3], blocked = KEYS[4], owners = KEYS[5], holds = KEYS[6],
  deadlines = KEYS[7], customers = KEYS[8], checkouts = KEYS[9], facts = KEYS[10], lapses = KEYS[11],
  request = KEYS[12],
}
local generation, not_after_ms, request_text, subject = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local FIRST_SEAT = 5

-- check
local now_ms = clock.now_ms()
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
-- Every key written below is touched here: a lost or mistyped one must not be met halfway.
local record = redis.pcall('HMGET', keys.customers, subject, '0')
if record[2] ~= ''
  or redis.pcall('EXISTS', keys.sold, keys.blocked, keys.checkouts) ~= 3
  or redis.pcall('GETBIT', keys.locked, meta.seats) ~= 1
  or redis.pcall('HEXISTS', keys.holds, '0') ~= 1
  or redis.pcall('ZSCORE', keys.deadlines, '0') ~= 'inf' then
  return {'damaged', now_ms}
end
local rules = meta.policy
refusal = showtime.closed(meta, now_ms)
if refusal then
  return refusal
end
local seats = seat_map.read(ARGV, FIRST_SEAT, #ARGV, meta.seats)
if #seats > rules.seats_per_hold_max then
  return {'too_many_seats', now_ms, rules.seats_per_hold_max}
end
local runs = seat_map.runs(seats)
local lapsed = {}
if not seat_map.all_of(keys.owners, runs, 0) then
  local verdict = takeover.judge(keys, seats, subject, rules, now_ms)
  if not verdict then
    return {'damaged', now_ms}
  end
  if #verdict.taken > 0 then
    deadlines.mend(keys.deadlines, keys.lapses, keys.meta, meta, verdict.capped)
    return takeover.refusal(verdict.taken, now_ms)
  end
  lapsed = verdict.lapsed
end
if record[1] then
  local customer = customer_record.read(record[1])
  local mine = customer_holds.read(keys, customer, rules, now_ms)
  if not mine then
    return {'damaged', now_ms}
  end
  if #mine.live >= rules.holds_per_customer_max then
    return {'hold_limit', now_ms, unpack(customer_holds.names(mine.live))}
  end
  local left = rules.seats_per_customer_max - customer.bought - mine.seats
  if #seats > left then
    return {'seat_limit', now_ms, math.max(left, 0)}
  end
  lapsed = end_hold.joined(lapsed, mine.lapsed)
elseif #seats > rules.seats_per_customer_max then
  return {'seat_limit', now_ms, rules.seats_per_customer_max}
end

-- change
local hold = {
  owner = meta.fence + 1, subject = subject, claimed_at_ms = now_ms, status = 'H', extensions = 0, retries = 0,
  payment_open = 0, seats = seats, deadline_ms = now_ms + rules.hold_ttl_ms,
}
-- First the one write that grows memory for sure: at maxmemory Redis refuses it, and with it the whole claim.
redis.call('HSET', keys.holds, hold.owner, hold_record.pack(hold))
for _, gone in ipairs(lapsed) do
  end_hold.free(keys, meta, generation, gone, 'expired', 'payment_timeout', now_ms, request.trace(request_text))
end
seat_map.mark(keys.locked, runs, 1)
seat_map.give(keys.owners, runs, hold.owner)
deadlines.set(keys.deadlines, keys.lapses, keys.meta, meta, hold.owner, hold.deadline_ms)
customer_record.change(keys.customers, subject, hold.owner, #seats, 0)
meta.fence = hold.owner
meta.version = meta.version + 1
showtime.save(keys.meta, meta)

-- answer
local version = showtime.version(meta, keys.deadlines, now_ms)
local answer = hold_answer.give('claimed', now_ms, version, hold, rules, '')
request.remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
