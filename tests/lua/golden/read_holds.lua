#!lua flags=no-writes
--[[
Read a page of a showtime's live holds, by deadline, for operators.

KEYS     meta deadlines
ARGV     1 generation  2 offset  3 limit
RETURNS  not_loaded | stale_generation, generation, seq | damaged
         holds, live holds in all, (owner, claimed_at_ms, status H or P, deadline_ms, payment_open, subject,
           count of seats, seat...)...
RAISES   nothing
EMITS    nothing
COST     O(log holds + offset + seats of the page)
]]
local clock_now_ms
do
local time = redis.call('TIME')
clock_now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end
local policy_read
do
local PAYMENT_RETRY_TTL_MS = 300000
-- Give the numbers by name, and what follows from them.
function policy_read(packed)
  local rules = {payment_retry_ttl_ms = PAYMENT_RETRY_TTL_MS}
  rules.hold_ttl_ms, rules.payment_ttl_ms, rules.hold_max_ms, rules.claim_max_ms, rules.seats_per_hold_max,
    rules.holds_per_customer_max, rules.seats_per_customer_max, rules.sales_open_ms, rules.sales_stop_ms,
    rules.ends_ms, rules.keys_until_ms = struct.unpack('>I4I4I4I4BBHI6I6I6I6', packed)
  -- No deadline lies further ahead than this, unless the clock was set back.
  rules.ahead_max_ms = math.max(rules.hold_ttl_ms, rules.payment_ttl_ms, PAYMENT_RETRY_TTL_MS)
  return rules
end
end
local showtime_look
do
local STATUSES = {open = true, frozen = true, rebuilding = true, cancelled = true}
-- The number that a field spells in digits; nil if it spells none.
local function whole(text)
  return text and string.find(text, '^%d+$') and tonumber(text) or nil
end
-- Read meta for a reader. Gives meta, or nil and the refusal. In meta: status, seats, version, fence, next_lapse_ms,
-- policy (see policy.read).
function showtime_look(meta_key, generation, now_ms)
  local fields = redis.pcall('HMGET', meta_key,
    'status', 'generation', 'seats_count', 'version', 'fence', 'next_lapse_ms', 'policy', 'seq')
  if fields.err then
    return nil, {'damaged', now_ms}
  end
  local status, stamp, packed = fields[1], fields[2], fields[7]
  local seats, version, fence, next_lapse_ms = whole(fields[3]), whole(fields[4]), whole(fields[5]), whole(fields[6])
  if not status then
    return nil, {'not_loaded', now_ms}
  end
  if stamp ~= generation then
    return nil, {'stale_generation', now_ms, stamp or '', redis.call('HGET', meta_key, 'seq') or ''}
  end
  -- Each of them is reckoned with halfway through some change, where an error would leave half of it behind.
  if not (STATUSES[status] and seats and version and fence and next_lapse_ms and whole(fields[8]))
    or not packed or #packed ~= 44 then
    return nil, {'damaged', now_ms}
  end
  return {
    status = status,
    seats = seats,
    version = version,
    fence = fence,
    next_lapse_ms = next_lapse_ms,
    policy = policy_read(packed),
  }
end
end
local seat_map_map_bytes, seat_map_bit, seat_map_bits
do
-- How many bytes a bitmap has; three of them stand before the first cell.
function seat_map_map_bytes(seats_count)
  return (seats_count - seats_count % 8) / 8 + 1
end
-- Where a seat's bit stands; that of seat number `seats_count` is the bitmap's sentinel.
function seat_map_bit(map, seats_count, seat)
  return 8 * map * seat_map_map_bytes(seats_count) + seat
end
-- The bits of a run in each of the three bitmaps, as one number each: that of the last seat is worth 1. The run behind
-- the last seat is the sentinel.
function seat_map_bits(seats_key, seats_count, first, count)
  local kind = 'u' .. count
  return redis.call('BITFIELD_RO', seats_key, 'GET', kind, seat_map_bit(0, seats_count, first),
    'GET', kind, seat_map_bit(1, seats_count, first),
    'GET', kind, seat_map_bit(2, seats_count, first))
end
end
local intact_check
do
-- `keys` holds, by name, any of: seats, deadlines, checkouts, facts, lapses. Meta was proved by who read `seats_count`.
function intact_check(keys, seats_count)
  if keys.seats then
    local bytes = 3 * seat_map_map_bytes(seats_count) + 4 * seats_count
    if redis.pcall('STRLEN', keys.seats) ~= bytes then
      return false
    end
    local sold, locked, blocked = unpack(seat_map_bits(keys.seats, seats_count, seats_count, 1))
    if sold + locked + blocked ~= 3 then
      return false
    end
  end
  if keys.deadlines and redis.pcall('ZSCORE', keys.deadlines, '0') ~= 'inf' then
    return false
  end
  -- These may be absent, but not of another type. Whether a check-out is lost tells the hold that had it; see holds.read.
  return not (keys.facts and type(redis.pcall('XLEN', keys.facts)) ~= 'number')
    and not (keys.lapses and type(redis.pcall('ZCARD', keys.lapses)) ~= 'number')
    and not (keys.checkouts and type(redis.pcall('HLEN', keys.checkouts)) ~= 'number')
end
end
local holds_read
do
-- The state of a hold is one byte: extensions used (4 bits), payment retries used (2), payment open, checked out.
local RETRY = 16
local PAYMENT_OPEN = 64
local CHECKED_OUT = 128
-- Read a hold, its deadline, and, of one that was checked out, its check-out where the caller has `keys.checkouts`;
-- hold.checkout is '' before. Gives nil if there is none, or nil and 'damaged' if only a part of it is there.
-- `capped` tells that the stored deadline lies beyond what any clock but a wrong one could have written.
function holds_read(keys, owner, rules, now_ms)
  if tonumber(owner) == 0 then
    return nil -- nobody's number; in `deadlines` it is the sentinel
  end
  local packed = redis.pcall('HGET', keys.meta, owner)
  local score = redis.pcall('ZSCORE', keys.deadlines, owner)
  if not packed and not score then
    return nil
  end
  if type(packed) ~= 'string' or #packed <= 23 or (#packed - 23) % 2 ~= 0
    or type(score) ~= 'string' then
    return nil, 'damaged'
  end
  local deadline_ms = tonumber(score)
  local latest_ms = now_ms + rules.ahead_max_ms
  local hold = {
    owner = tonumber(owner),
    seats = {},
    deadline_ms = math.min(deadline_ms, latest_ms),
    capped = deadline_ms > latest_ms,
    lapsed = deadline_ms <= now_ms,
    checkout = '',
  }
  local state
  hold.subject, hold.claimed_at_ms, state = struct.unpack('>c16I6B', packed)
  hold.status = state >= CHECKED_OUT and 'P' or 'H'
  hold.payment_open = state % CHECKED_OUT >= PAYMENT_OPEN and 1 or 0
  hold.retries = math.floor(state % PAYMENT_OPEN / RETRY)
  hold.extensions = state % RETRY
  for position = 23 + 1, #packed, 2 do
    hold.seats[#hold.seats + 1] = struct.unpack('>' .. 'H', packed, position)
  end
  if hold.status == 'P' and keys.checkouts then
    hold.checkout = redis.pcall('HGET', keys.checkouts, owner)
    if type(hold.checkout) ~= 'string' then
      return nil, 'damaged'
    end
  end
  return hold
end
end

-- names
local keys = {meta = KEYS[1], deadlines = KEYS[2]}
local generation, offset, limit = ARGV[1], ARGV[2], ARGV[3]

-- check
local now_ms = clock_now_ms
local meta, refusal = showtime_look(keys.meta, generation, now_ms)
if refusal then
  return refusal
end
if not intact_check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local live_from = '(' .. now_ms
local total = redis.call('ZCOUNT', keys.deadlines, live_from, '(inf')
local page = {}
for i, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, live_from, '(inf', 'LIMIT', offset, limit)) do
  page[i] = holds_read(keys, owner, meta.policy, now_ms)
  if not page[i] then
    return {'damaged', now_ms}
  end
end

-- answer
local answer = {'holds', now_ms, total}
for _, hold in ipairs(page) do
  for _, value in ipairs({hold.owner, hold.claimed_at_ms, hold.status, hold.deadline_ms, hold.payment_open,
    hold.subject, #hold.seats, unpack(hold.seats)}) do
    answer[#answer + 1] = value
  end
end
return answer
