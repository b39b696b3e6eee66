--[[
Note that a booking's payment failed: its seats may be changed again, and three times it gets more time to pay.

KEYS     meta deadlines checkouts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         not_found | hold_expired
         payment_closed, the hold answer (include/hold_answer.lua); a repeat gives no more time
RAISES   nothing
EMITS    nothing
COST     O(seats of the hold)
]]
local clock_now_ms
do
local time = redis.call('TIME')
clock_now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end
local request_recall, request_remember
do
local REPLAY_GRACE_MS = 600000
local function fingerprint_of(text)
  return string.match(text, '^[^ ]*')
end
-- Give what was answered before, or nil if this request is new or is not to be remembered.
function request_recall(request_key, text, now_ms)
  local fingerprint = fingerprint_of(text)
  local kept = fingerprint ~= '' and redis.call('GET', request_key)
  if not kept then
    return nil
  end
  local memory = cmsgpack.unpack(kept)
  if memory[1] ~= fingerprint then
    return {'idempotency_key_reused', now_ms}
  end
  memory[1] = 'replayed'
  table.insert(memory, 2, now_ms)
  return memory
end
-- Keep a success until `until_ms` and the grace have passed.
function request_remember(request_key, text, answer, until_ms, now_ms)
  local fingerprint = fingerprint_of(text)
  if fingerprint == '' then
    return
  end
  local memory = {fingerprint}
  for i = 1, #answer do
    memory[i + 1] = answer[i]
  end
  local ttl_ms = math.max(until_ms - now_ms, 0) + REPLAY_GRACE_MS
  redis.call('SET', request_key, cmsgpack.pack(memory), 'PX', ttl_ms)
end
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
local showtime_look, showtime_enter, showtime_version
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
-- Read meta for a writer: as look, but a showtime under rebuilding takes no writes.
function showtime_enter(meta_key, generation, now_ms)
  local meta, refusal = showtime_look(meta_key, generation, now_ms)
  if meta and meta.status == 'rebuilding' then
    return nil, {'rebuilding', now_ms}
  end
  return meta, refusal
end
-- The version that everybody sees: a hold that lapsed and was not yet ended counts as one change.
function showtime_version(meta, deadlines_key, now_ms)
  if meta.next_lapse_ms == 0 or meta.next_lapse_ms > now_ms then
    return meta.version
  end
  return meta.version + redis.call('ZCOUNT', deadlines_key, '-inf', now_ms)
end
end
local entry_writer
do
-- Gives meta, or nil and the answer.
function entry_writer(meta_key, request_key, generation, not_after_ms, request_text, now_ms)
  if now_ms > tonumber(not_after_ms) then
    return nil, {'too_late', now_ms}
  end
  local replay = request_recall(request_key, request_text, now_ms)
  if replay then
    return nil, replay
  end
  return showtime_enter(meta_key, generation, now_ms)
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
local holds_read, holds_own, holds_save
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
-- Owner numbers of one load share their high byte and are given in ascending order.
local function never_issued(owner, meta)
  return owner > meta.fence and math.floor(owner / 2 ^ 24) == math.floor(meta.fence / 2 ^ 24)
end
-- Read the live hold that a hold id names (same owner number, same moment of the claim), for its own customer
-- ('' stands for staff and the system). Gives the hold, or nil and the refusal.
function holds_own(keys, owner, claimed_at_ms, subject, meta, now_ms)
  local hold, damaged = holds_read(keys, owner, meta.policy, now_ms)
  if damaged then
    return nil, {'damaged', now_ms}
  end
  if hold and hold.claimed_at_ms ~= tonumber(claimed_at_ms) then
    hold = nil
  end
  if hold and subject ~= '' and hold.subject ~= subject then
    return nil, {'not_found', now_ms}
  end
  if not hold and (never_issued(tonumber(owner), meta) or tonumber(claimed_at_ms) > now_ms) then
    return nil, {'not_found', now_ms}
  end
  if not hold or hold.lapsed then
    return nil, {'hold_expired', now_ms}
  end
  return hold
end
-- Deleted first: at maxmemory Redis lets a script write on once it has written, and never refuses a deletion.
function holds_save(meta_key, hold)
  local state = hold.extensions + RETRY * hold.retries + PAYMENT_OPEN * hold.payment_open
    + (hold.status == 'P' and CHECKED_OUT or 0)
  redis.call('HDEL', meta_key, hold.owner)
  redis.call('HSET', meta_key, hold.owner, struct.pack('>c16I6B' .. string.rep('H', #hold.seats),
    hold.subject, hold.claimed_at_ms, state, unpack(hold.seats)))
end
end
local showtime_number
do
-- The showtime's number, as its keys spell it.
function showtime_number(meta_key)
  return string.match(meta_key, ':(%d+):meta$')
end
end
local deadlines_set
do
-- Set a hold's deadline. meta.next_lapse_ms is never later than the earliest deadline.
function deadlines_set(deadlines_key, lapses_key, meta_key, meta, owner, deadline_ms)
  redis.call('ZADD', deadlines_key, deadline_ms, owner)
  if meta.next_lapse_ms == 0 or deadline_ms < meta.next_lapse_ms then
    meta.next_lapse_ms = deadline_ms
    redis.call('HSET', meta_key, 'next_lapse_ms', deadline_ms)
    redis.call('ZADD', lapses_key, deadline_ms, showtime_number(meta_key))
  end
end
end
local hold_answer_EXTENSIONS_PER_HOLD_MAX, hold_answer_give
do
hold_answer_EXTENSIONS_PER_HOLD_MAX = 10
-- Gives {word, now_ms, version, owner, claimed_at_ms, status, deadline_ms, extensions_left, extendable_until_ms,
-- payment_open, subject, checkout, seat, seat, ...}; `checkout` is '' before check-out.
function hold_answer_give(word, now_ms, version, hold, hold_max_ms)
  local extensions_left, extendable_until_ms = 0, hold.deadline_ms
  if hold.status == 'H' then
    extensions_left = hold_answer_EXTENSIONS_PER_HOLD_MAX - hold.extensions
    extendable_until_ms = hold.claimed_at_ms + hold_max_ms
  end
  return {word, now_ms, version, hold.owner, hold.claimed_at_ms, hold.status, hold.deadline_ms, extensions_left,
    extendable_until_ms, hold.payment_open, hold.subject, hold.checkout, unpack(hold.seats)}
end
end

-- names
local keys = {meta = KEYS[1], deadlines = KEYS[2], checkouts = KEYS[3], lapses = KEYS[4], request = KEYS[5]}
local generation, not_after_ms, request_text, owner, claimed_at_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local PAYMENT_RETRIES_MAX = 3
local ANYBODY = ''

-- check
local now_ms = clock_now_ms
local meta, refusal = entry_writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact_check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local rules = meta.policy
local hold
hold, refusal = holds_own(keys, owner, claimed_at_ms, ANYBODY, meta, now_ms)
if refusal then
  return refusal
end

-- change
if hold.payment_open == 1 then
  hold.payment_open = 0
  if hold.retries < PAYMENT_RETRIES_MAX then
    hold.retries = hold.retries + 1
    local later_ms = math.max(hold.deadline_ms, now_ms + rules.payment_retry_ttl_ms)
    hold.deadline_ms = math.min(later_ms, hold.claimed_at_ms + rules.claim_max_ms)
  end
  holds_save(keys.meta, hold)
  deadlines_set(keys.deadlines, keys.lapses, keys.meta, meta, hold.owner, hold.deadline_ms)
end

-- answer
local version = showtime_version(meta, keys.deadlines, now_ms)
local answer = hold_answer_give('payment_closed', now_ms, version, hold, rules.hold_max_ms)
request_remember(keys.request, request_text, answer, hold.deadline_ms, now_ms)
return answer
