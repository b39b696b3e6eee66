--[[
Change a showtime's rules and the end of its keys; deadlines already given stay.

KEYS     meta seats deadlines checkouts request
ARGV     1 generation  2 not_after_ms  3 request  4.. the 11 policy numbers (include/policy.lua)
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         policy_changed, version
RAISES   fewer than 11 numbers
EMITS    nothing
COST     O(1)
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
local policy_pack, policy_read
do
local PAYMENT_RETRY_TTL_MS = 300000
local COUNT = 11
-- Pack the 11 numbers that start at values[first], in the order of formats.POLICY.
function policy_pack(values, first)
  local numbers = {}
  for i = 1, COUNT do
    numbers[i] = assert(tonumber(values[first + i - 1]), 'a policy is 11 numbers')
  end
  return struct.pack('>I4I4I4I4BBHI6I6I6I6', unpack(numbers))
end
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
local showtime_look, showtime_enter, showtime_version, showtime_save
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
function showtime_save(meta_key, meta)
  redis.call('HSET', meta_key, 'version', meta.version, 'fence', meta.fence)
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

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], request = KEYS[5]}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local FIRST_NUMBER = 4

-- check
local now_ms = clock_now_ms
local meta, refusal = entry_writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact_check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local packed = policy_pack(ARGV, FIRST_NUMBER)

-- change
-- A deletion first: at maxmemory it lets the rest follow. Of no field that is there; see adopt_showtime.lua.
redis.call('HDEL', keys.meta, 'none')
redis.call('HSET', keys.meta, 'policy', packed)
meta.version = meta.version + 1
showtime_save(keys.meta, meta)
local keys_until_ms = policy_read(packed).keys_until_ms
for i = 1, #KEYS - 1 do
  redis.call('PEXPIREAT', KEYS[i], keys_until_ms)
end

-- answer
local answer = {'policy_changed', now_ms, showtime_version(meta, keys.deadlines, now_ms)}
request_remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
