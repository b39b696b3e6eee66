--[[
End holds whose time is over, so that viewers are told; correctness does not depend on it.

KEYS     meta seats deadlines checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 limit: holds ended by one call
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         stale_generation, generation, seq | rebuilding | damaged
         expired, holds ended, next_lapse_ms (0: no hold); of a showtime not loaded: 0, 0
RAISES   nothing
EMITS    booking_expired, of each hold that was checked out
COST     O(seats of the holds ended)
]]
local clock_now_ms
do
local time = redis.call('TIME')
clock_now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end
local request_recall, request_remember, request_trace
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
function request_trace(text)
  return string.match(text, ' (.*)$') or ''
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
local showtime_look, showtime_enter, showtime_save, showtime_number
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
function showtime_save(meta_key, meta)
  redis.call('HSET', meta_key, 'version', meta.version, 'fence', meta.fence)
end
-- The showtime's number, as its keys spell it.
function showtime_number(meta_key)
  return string.match(meta_key, ':(%d+):meta$')
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
local deadlines_set, deadlines_mend, deadlines_renew
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
-- Bring deadlines that a clock, since set back, left beyond the maximum down to it; else such holds would be
-- eternal. The only write that a refusal may follow: no seat and no record changes by it.
function deadlines_mend(deadlines_key, lapses_key, meta_key, meta, capped)
  for _, hold in ipairs(capped) do
    deadlines_set(deadlines_key, lapses_key, meta_key, meta, hold.owner, hold.deadline_ms)
  end
end
-- Find the earliest deadline anew and tell the timer. Gives it, or 0 without a hold.
function deadlines_renew(deadlines_key, lapses_key, meta_key)
  local first = redis.call('ZRANGE', deadlines_key, 0, 0, 'WITHSCORES')
  if first[1] == '0' then
    redis.call('ZREM', lapses_key, showtime_number(meta_key))
    redis.call('HSET', meta_key, 'next_lapse_ms', 0)
    return 0
  end
  redis.call('ZADD', lapses_key, first[2], showtime_number(meta_key))
  redis.call('HSET', meta_key, 'next_lapse_ms', first[2])
  return tonumber(first[2])
end
end
local seat_map_read, seat_map_cells, seat_map_all, seat_map_fill, seat_map_set
do
-- Read seat indexes from values[first..last]. Gives them ascending, and their runs.
-- Raises if one is no seat of the showtime or comes twice.
function seat_map_read(values, first, last, seats_count)
  local seats, rising, before = {}, true, -1
  for i = first, last do
    local seat = tonumber(values[i])
    if not seat or seat % 1 ~= 0 or seat < 0 or seat >= seats_count then
      error('seats must be distinct indexes of the showtime')
    end
    rising = rising and seat > before
    seats[i - first + 1], before = seat, seat
  end
  if not rising then
    table.sort(seats)
  end
  local runs, size, next_seat = {}, 0, 0
  for i = 1, #seats do
    local seat = seats[i]
    if seat < next_seat then
      error('seats must be distinct indexes of the showtime')
    end
    -- Up to 32: the bits of a run are one number of BITFIELD, which Lua must hold exactly.
    if size > 0 and seat == next_seat and runs[size] < 32 then
      runs[size] = runs[size] + 1
    else
      runs[size + 1], runs[size + 2] = seat, 1
      size = size + 2
    end
    next_seat = seat + 1
  end
  return seats, runs
end
-- The cells of a run; shorter, or an error, if the string is not what it should be.
function seat_map_cells(seats_key, seats_count, first, count)
  local at = 3 * seat_map_map_bytes(seats_count) + 4 * first
  return redis.pcall('GETRANGE', seats_key, at, at + 4 * count - 1)
end
-- Whether each cell is there and is `cell`.
function seat_map_all(seats_key, seats_count, runs, cell)
  for i = 1, #runs, 2 do
    if seat_map_cells(seats_key, seats_count, runs[i], runs[i + 1]) ~= string.rep(cell, runs[i + 1]) then
      return false
    end
  end
  return true
end
-- Fill cells.
function seat_map_fill(seats_key, seats_count, runs, cell)
  local cells_at = 3 * seat_map_map_bytes(seats_count)
  for i = 1, #runs, 2 do
    redis.call('SETRANGE', seats_key, cells_at + 4 * runs[i], string.rep(cell, runs[i + 1]))
  end
end
-- Set (or with bit 0 clear) the seats in a bitmap, and fill their cells.
function seat_map_set(seats_key, seats_count, map, runs, bit, cell)
  for i = 1, #runs, 2 do
    redis.call('BITFIELD', seats_key, 'SET', 'u' .. runs[i + 1], seat_map_bit(map, seats_count, runs[i]),
      bit * (2 ^ runs[i + 1] - 1))
  end
  seat_map_fill(seats_key, seats_count, runs, cell)
end
end
local seat_look_runs
do
-- The runs of seats that are known to be distinct, in range and ascending.
function seat_look_runs(seats)
  local _, runs = seat_map_read(seats, 1, #seats, math.huge)
  return runs
end
end
local customer_record_read, customer_record_find, customer_record_save, customer_record_drop
do
-- Give {bought, lapses, lapsed_ms, holds = {owner, ...}}, or nil if it is no such record; `packed` is false
-- for a new customer. `lapsed_ms` is when the latest of the lapses was.
function customer_record_read(packed)
  packed = packed or '\0\0'
  if #packed < 2 then
    return nil
  end
  local customer = {bought = struct.unpack('>H', packed), lapses = 0, lapsed_ms = 0, holds = {}}
  local first = 2 + 1
  if customer.bought >= 32768 then
    customer.bought = customer.bought - 32768
    if #packed < 2 + 7 then
      return nil
    end
    customer.lapses, customer.lapsed_ms, first = struct.unpack('>BI6', packed, first)
  end
  if (#packed + 1 - first) % 4 ~= 0 then
    return nil
  end
  for position = first, #packed, 4 do
    customer.holds[#customer.holds + 1] = struct.unpack('>I4', packed, position)
  end
  return customer
end
-- Find the record of a customer: as read.
function customer_record_find(meta_key, subject)
  return customer_record_read(redis.call('HGET', meta_key, subject))
end
-- Write a record, or take it away when nothing is left in it. Begins with a deletion.
function customer_record_save(meta_key, subject, customer)
  local packed
  if customer.lapses > 0 then
    packed = struct.pack('>H', customer.bought + 32768)
      .. struct.pack('>BI6', customer.lapses, customer.lapsed_ms)
  else
    packed = struct.pack('>H', customer.bought)
  end
  for _, owner in ipairs(customer.holds) do
    packed = packed .. struct.pack('>I4', owner)
  end
  redis.call('HDEL', meta_key, subject)
  if packed ~= '\0\0' then
    redis.call('HSET', meta_key, subject, packed)
  end
end
-- Take a hold off the list (0 is none), and move the bought count. A record that cannot be read begins anew: the caller
-- is in the middle of its change.
function customer_record_drop(meta_key, subject, gone, bought_more)
  local customer = customer_record_find(meta_key, subject) or customer_record_read(false)
  local left = {}
  for _, owner in ipairs(customer.holds) do
    if owner ~= gone then
      table.insert(left, owner)
    end
  end
  customer.holds = left
  customer.bought = math.min(math.max(customer.bought + bought_more, 0), 32768 - 1)
  customer_record_save(meta_key, subject, customer)
end
end
local cool_down_note
do
local COOL_DOWN_MEMORY_MS = 3600000
local LAPSES_MAX = 255
-- Count a hold that lapsed, in the record of its customer.
function cool_down_note(meta_key, hold)
  if not hold.lapsed or hold.payment_open ~= 0 or hold.retries ~= 0 then
    return
  end
  local customer = customer_record_find(meta_key, hold.subject) or customer_record_read(false)
  if hold.deadline_ms - customer.lapsed_ms > COOL_DOWN_MEMORY_MS then
    customer.lapses = 0
  end
  customer.lapses = math.min(customer.lapses + 1, LAPSES_MAX)
  customer.lapsed_ms = math.max(customer.lapsed_ms, hold.deadline_ms)
  customer_record_save(meta_key, hold.subject, customer)
end
end
local hold_id_text
do
function hold_id_text(claimed_at_ms, owner, showtime_number)
  local low = 2 ^ 31 + (owner % 2 ^ 20) * 2 ^ 10
  return string.format('%08x-%04x-7%03x-%04x-%04x%08x',
    math.floor(claimed_at_ms / 2 ^ 16), claimed_at_ms % 2 ^ 16, math.floor(owner / 2 ^ 20),
    math.floor(low / 2 ^ 16), low % 2 ^ 16, showtime_number)
end
end
local facts_emit
do
-- `data` is a table that becomes JSON. Gives the fact's seq.
function facts_emit(facts_key, meta_key, generation, kind, id, now_ms, data, trace)
  local seq = redis.call('HINCRBY', meta_key, 'seq', 1)
  redis.call('XADD', facts_key, '*', 'kind', kind, 'showtime', showtime_number(meta_key), 'generation', generation,
    'seq', seq, 'id', id, 'at', now_ms, 'data', cjson.encode(data), 'trace', trace)
  return seq
end
end
local end_hold_sound, end_hold_forget, end_hold_expire
do
-- Whether every seat of the hold still is the hold's: only then may it be ended.
function end_hold_sound(keys, meta, hold)
  return seat_map_all(keys.seats, meta.seats, seat_look_runs(hold.seats), struct.pack('>I4', hold.owner))
end
-- Take a hold's records away, leaving its seats. Begins with HDEL: it can always finish, also at maxmemory.
-- `bought` seats go over to what the customer has bought.
function end_hold_forget(keys, hold, bought)
  redis.call('HDEL', keys.meta, hold.owner)
  redis.call('HDEL', keys.checkouts, hold.owner)
  redis.call('ZREM', keys.deadlines, hold.owner)
  customer_record_drop(keys.meta, hold.subject, hold.owner, bought)
end
-- Free the seats of a hold and take its records away; a booking's end becomes a fact. The caller saves meta.
local function free(keys, meta, generation, hold, now_ms, kind, reason, trace)
  end_hold_forget(keys, hold, 0)
  seat_map_set(keys.seats, meta.seats, 1, seat_look_runs(hold.seats), 0, '\0\0\0\0')
  meta.version = meta.version + 1
  if hold.status == 'P' then
    local booking = hold_id_text(hold.claimed_at_ms, hold.owner, showtime_number(keys.meta))
    facts_emit(keys.facts, keys.meta, generation, kind, booking, now_ms, {
      booking = booking,
      owner = hold.owner,
      claimed_at_ms = hold.claimed_at_ms,
      deadline_ms = hold.deadline_ms,
      seats = hold.seats,
      reason = reason,
      checkout = hold.checkout,
    }, trace)
  end
end
-- End a hold whose time is over, or is declared over.
function end_hold_expire(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_expired', reason, trace)
  cool_down_note(keys.meta, hold)
end
end

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], facts = KEYS[5], lapses = KEYS[6],
  request = KEYS[7],
}
local generation, not_after_ms, request_text, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

-- check
local now_ms = clock_now_ms
local meta, refusal = entry_writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal and refusal[1] ~= 'not_loaded' then
  return refusal
end
if meta and not intact_check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local lapsed, capped = {}, {}
if meta then
  local latest_ms = now_ms + meta.policy.ahead_max_ms
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '-inf', now_ms, 'LIMIT', 0, limit)) do
    local hold = holds_read(keys, owner, meta.policy, now_ms)
    if not hold or not end_hold_sound(keys, meta, hold) then
      return {'damaged', now_ms}
    end
    table.insert(lapsed, hold)
  end
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '(' .. latest_ms, '(inf', 'LIMIT', 0, limit)) do
    table.insert(capped, {owner = owner, deadline_ms = latest_ms})
  end
end

-- change
local next_lapse_ms = 0
if meta then
  for _, hold in ipairs(lapsed) do
    end_hold_expire(keys, meta, generation, hold, now_ms, 'payment_timeout', request_trace(request_text))
  end
  -- A deletion first, whether or not a hold was ended: the rest must not be refused at maxmemory.
  redis.call('ZREM', keys.lapses, showtime_number(keys.meta))
  showtime_save(keys.meta, meta)
  deadlines_mend(keys.deadlines, keys.lapses, keys.meta, meta, capped)
  next_lapse_ms = deadlines_renew(keys.deadlines, keys.lapses, keys.meta)
else
  redis.call('ZREM', keys.lapses, showtime_number(keys.meta))
end

-- answer
local answer = {'expired', now_ms, #lapsed, next_lapse_ms}
request_remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
