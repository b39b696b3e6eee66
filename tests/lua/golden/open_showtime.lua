--[[
Load a showtime from the ledger, in steps, so that a big one does not stop Redis: begin, part..., finish.

Nothing is seen of a load before its last step, and that step needs the nonce of the first: closing or freezing the
showtime takes it away, and so does time. A fact told since the first step loses the load too: a cancelled showtime goes
on restocking, and what the loader has read in the ledger is then of before. So does a key `lapses` of another type.

KEYS     meta seats deadlines checkouts loading lapses
ARGV     1 generation to stamp  2 not_after_ms  3 request: always ''  4 step  5 nonce; then by step
         begin   6 nonce_ttl_ms  7 force 0 or 1: load again what is loaded
         part    6.. (subject, packed customer (include/customer_record.lua))...
         finish  6 status  7 seats  8 seq  9 fence  10 seats sold, as counted by the ledger
                 11.. the 11 policy numbers (include/policy.lua)  22 sold bytes  23 blocked bytes  24 owners bytes:
                 4 per seat, 0 unless sold; bitmaps with or without the sentinel bit
RETURNS  too_late
         loaded | loading_elsewhere, ms left to that load | loading (begin)
         load_lost | installed (part)
         load_lost | showtime_closed, ENDED: its keys would be gone at once | opened, version (finish)
RAISES   a step, number or length that contradicts the others; bitmaps that overlap or do not match the owners
EMITS    nothing
COST     begin O(1); part O(customers given); finish O(seats of the showtime)
]]
local clock_now_ms
do
local time = redis.call('TIME')
clock_now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
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
local seat_map_map_bytes, seat_map_bit, seat_map_fill, seat_map_set
do
-- How many bytes a bitmap has; three of them stand before the first cell.
function seat_map_map_bytes(seats_count)
  return (seats_count - seats_count % 8) / 8 + 1
end
-- Where a seat's bit stands; that of seat number `seats_count` is the bitmap's sentinel.
function seat_map_bit(map, seats_count, seat)
  return 8 * map * seat_map_map_bytes(seats_count) + seat
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
local seat_map_read
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
end
local seat_look_runs
do
-- The runs of seats that are known to be distinct, in range and ascending.
function seat_look_runs(seats)
  local _, runs = seat_map_read(seats, 1, #seats, math.huge)
  return runs
end
end
local load_check_blocked_seats, load_check_joined
do
local function bit_of(bytes, seat)
  local byte = string.byte(bytes, math.floor(seat / 8) + 1) or 0
  return math.floor(byte / 2 ^ (7 - seat % 8)) % 2
end
-- Give the blocked seats, ascending. Raises if the bitmaps overlap, do not match the owners or the ledger's count,
-- or are not of the showtime's size.
function load_check_blocked_seats(sold, blocked, owners, seats, sold_count)
  local bytes_min, bytes_max = math.ceil(seats / 8), seat_map_map_bytes(seats)
  assert(#owners == 4 * seats, 'owners must have 4 bytes per seat')
  assert(#sold >= bytes_min and #sold <= bytes_max, 'the sold bitmap is not of the size of the showtime')
  assert(#blocked >= bytes_min and #blocked <= bytes_max, 'the blocked bitmap is not of the size of the showtime')
  local found, count = {}, 0
  for seat = 0, seats - 1 do
    local is_sold, is_blocked = bit_of(sold, seat), bit_of(blocked, seat)
    local owned = string.sub(owners, 4 * seat + 1, 4 * seat + 4) ~= '\0\0\0\0'
    assert(is_sold + is_blocked < 2, 'a seat is sold and blocked')
    assert(owned == (is_sold == 1), 'owners and the sold bitmap differ')
    count = count + is_sold
    if is_blocked == 1 then
      found[#found + 1] = seat
    end
  end
  assert(count == sold_count, 'the sold bitmap has another number of seats than the ledger')
  return found
end
-- The string `seats` of what was checked, without its sentinels and without the blocked seats' cells.
function load_check_joined(sold, blocked, owners, seats)
  local bytes = seat_map_map_bytes(seats)
  local function whole(bitmap)
    return bitmap .. string.rep('\0', bytes - #bitmap)
  end
  return whole(sold) .. whole('') .. whole(blocked) .. owners
end
end

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], loading = KEYS[5], lapses = KEYS[6],
}
local generation, not_after_ms, step, nonce = ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5]
local nonce_ttl_ms, force = ARGV[6], ARGV[7] == '1'
local FIRST_CUSTOMER, FIRST_NUMBER = 6, 11
local status, seats_count, seq, fence, sold_count = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9], tonumber(ARGV[10])
local sold, blocked, owners = ARGV[22], ARGV[23], ARGV[24]

-- check
local now_ms = clock_now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
assert(step == 'begin' or step == 'part' or step == 'finish', 'a step is begin, part or finish')
-- What is being replaced may be damaged in any way, its types included.
local standing = redis.pcall('HGET', keys.loading, 'nonce')
if step == 'begin' then
  if redis.call('EXISTS', keys.meta) == 1 and not force then
    return {'loaded', now_ms}
  end
  if type(standing) == 'string' and standing ~= nonce then
    return {'loading_elsewhere', now_ms, redis.call('PTTL', keys.loading)}
  end
elseif standing ~= nonce then
  return {'load_lost', now_ms}
end
local seq_now = redis.pcall('HGET', keys.meta, 'seq')
seq_now = type(seq_now) == 'string' and seq_now or ''
if step == 'finish' and (redis.call('HGET', keys.loading, 'seq') ~= seq_now
  or type(redis.pcall('ZCARD', keys.lapses)) ~= 'number') then
  return {'load_lost', now_ms}
end
local packed, rules, seats, blocked_runs, version
if step == 'finish' then
  packed = policy_pack(ARGV, FIRST_NUMBER)
  rules = policy_read(packed)
  if now_ms >= rules.keys_until_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
  blocked_runs = seat_look_runs(load_check_blocked_seats(sold, blocked, owners, seats_count, sold_count))
  seats = load_check_joined(sold, blocked, owners, seats_count)
  -- Versions only grow, over loads and clocks set back.
  local before, holds = redis.pcall('HGET', keys.meta, 'version'), redis.pcall('ZCARD', keys.deadlines)
  local shown = (type(before) == 'string' and tonumber(before) or 0) + (type(holds) == 'number' and holds or 0)
  version = math.max(now_ms, shown + 1)
end

-- change
local answer
if step == 'begin' then
  redis.call('UNLINK', keys.loading)
  -- The hash becomes meta in the end. What every call reads stands first: a small hash is searched from its beginning.
  redis.call('HSET', keys.loading, 'status', '', 'generation', '', 'seats_count', '', 'version', '', 'fence', '',
    'next_lapse_ms', '', 'policy', '', 'seq', seq_now, 'loaded_ms', '',
    'nonce', nonce, 'nonce_ttl_ms', nonce_ttl_ms)
  redis.call('PEXPIRE', keys.loading, nonce_ttl_ms)
  answer = {'loading', now_ms}
elseif step == 'part' then
  redis.call('HDEL', keys.loading, 'none')
  for i = FIRST_CUSTOMER, #ARGV - 1, 2 do
    redis.call('HSET', keys.loading, ARGV[i], ARGV[i + 1])
  end
  redis.call('PEXPIRE', keys.loading, redis.call('HGET', keys.loading, 'nonce_ttl_ms'))
  answer = {'installed', now_ms}
else
  redis.call('UNLINK', keys.meta, keys.seats, keys.deadlines, keys.checkouts)
  redis.call('SET', keys.seats, seats)
  for map = 0, 3 - 1 do
    redis.call('SETBIT', keys.seats, seat_map_bit(map, seats_count, seats_count), 1)
  end
  seat_map_set(keys.seats, seats_count, 2, blocked_runs, 1,
    struct.pack('>I4', 4294967295))
  redis.call('ZADD', keys.deadlines, 'inf', '0')
  redis.call('HDEL', keys.loading, 'nonce', 'nonce_ttl_ms')
  redis.call('HSET', keys.loading, 'status', status, 'generation', generation, 'seats_count', seats_count,
    'version', version, 'fence', fence, 'next_lapse_ms', 0, 'policy', packed, 'seq', seq,
    'loaded_ms', now_ms)
  redis.call('RENAME', keys.loading, keys.meta)
  redis.call('ZREM', keys.lapses, string.match(keys.meta, ':(%d+):meta$'))
  for _, key in ipairs({keys.meta, keys.seats, keys.deadlines}) do
    redis.call('PEXPIREAT', key, rules.keys_until_ms)
  end
  answer = {'opened', now_ms, version}
end

-- answer
return answer
