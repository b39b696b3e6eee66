--[[
Load a showtime from the ledger, in steps, so that a big one does not stop Redis: begin, part..., finish.

Nothing is seen of a load before its last step, and that step needs the nonce of the first: closing or freezing the
showtime takes it away, and so does time. A fact told since the first step loses the load too: a cancelled showtime goes
on restocking, and what the loader has read in the ledger is then of before. So does a key `lapses` of another type.

KEYS     meta sold locked blocked owners holds deadlines customers checkouts loading lapses
ARGV     1 generation to stamp  2 not_after_ms  3 request: always ''  4 step  5 nonce; then by step
         begin   6 nonce_ttl_ms  7 force 0 or 1: load again what is loaded
         part    6.. (subject, packed customer (include/customer_record.lua))...
         finish  6 status  7 seats  8 seq  9 fence  10 loads  11 seats sold, as counted by the ledger
                 12.. the 11 policy numbers (include/policy.lua)  23 sold bytes  24 blocked bytes  25 owners bytes:
                 4 per seat, 0 unless sold; bitmaps with or without the sentinel bit
RETURNS  too_late
         loaded | loading_elsewhere, ms left to that load | loading (begin)
         load_lost | installed (part)
         load_lost | showtime_closed, ENDED: its keys would be gone at once | opened, version (finish)
RAISES   a step, number or length that contradicts the others; bitmaps that overlap or do not match the owners
EMITS    nothing
COST     begin O(1); part O(customers given); finish O(seats of the showtime)
]]
local clock = (function()
-- Now, in ms since 1970, by Redis' own clock: the only clock that decides anything. Read once, as a value and not by
-- a function: two readings could fall on both sides of a deadline.
local time = redis.call('TIME')

return {now_ms = time[1] * 1000 + math.floor(time[2] / 1000)}
end)()
local policy = (function()
-- A showtime's rules.
local policy = {}

local PAYMENT_RETRY_TTL_MS = 300000

local COUNT = 11

-- Pack the 11 numbers that start at values[first], in the order of '>I4I4I4I4HHHI8I8I8I8'.
function policy.pack(values, first)
  local numbers = {}
  for i = 1, COUNT do
    numbers[i] = assert(tonumber(values[first + i - 1]), 'a policy is 11 numbers')
  end
  return struct.pack('>I4I4I4I4HHHI8I8I8I8', unpack(numbers))
end

-- Give the numbers by name, and what follows from them.
function policy.read(packed)
  local rules = {payment_retry_ttl_ms = PAYMENT_RETRY_TTL_MS}
  rules.hold_ttl_ms, rules.payment_ttl_ms, rules.hold_max_ms, rules.claim_max_ms, rules.seats_per_hold_max,
    rules.holds_per_customer_max, rules.seats_per_customer_max, rules.sales_open_ms, rules.sales_stop_ms,
    rules.ends_ms, rules.keys_until_ms = struct.unpack('>I4I4I4I4HHHI8I8I8I8', packed)
  -- No deadline lies further ahead than this, unless the clock was set back.
  rules.ahead_max_ms = math.max(rules.hold_ttl_ms, rules.payment_ttl_ms, PAYMENT_RETRY_TTL_MS)
  return rules
end

return policy
end)()
local seat_map = (function()
-- Seats, and who has which: a cell of 4 bytes per seat in `owners`, and the bitmaps sold, locked, blocked beside it.
-- A cell of 0 is nobody, so one look at the cells proves that seats are free. Seats come as runs
-- {first, count, first, count, ...}: groups sit side by side, and a run costs one command.
local seat_map = {}

-- Read seat indexes from values[first..last]. Gives them ascending, and their runs.
-- Raises if one is no seat of the showtime or comes twice.
function seat_map.read(values, first, last, seats_count)
  local seats = {}
  for i = first, last do
    seats[i - first + 1] = tonumber(values[i])
  end
  table.sort(seats)
  local runs, size, next_seat = {}, 0, 0
  for i = 1, last - first + 1 do
    local seat = seats[i]
    if not seat or seat % 1 ~= 0 or seat < next_seat or seat >= seats_count then
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

-- Whether each cell is there and is `cell`.
function seat_map.all(owners_key, runs, cell)
  for i = 1, #runs, 2 do
    local first, count = runs[i], runs[i + 1]
    if redis.pcall('GETRANGE', owners_key, 4 * first, 4 * (first + count) - 1) ~= string.rep(cell, count) then
      return false
    end
  end
  return true
end

-- Set (or with bit 0 clear) the seats in a bitmap, and fill their cells.
function seat_map.set(bitmap_key, owners_key, runs, bit, cell)
  for i = 1, #runs, 2 do
    local first, count = runs[i], runs[i + 1]
    redis.call('BITFIELD', bitmap_key, 'SET', 'u' .. count, first, bit * (2 ^ count - 1))
    redis.call('SETRANGE', owners_key, 4 * first, string.rep(cell, count))
  end
end

return seat_map
end)()
local seat_look = (function()
-- Looking at seats that are not simply free.
local seat_look = {}

-- Owner numbers in the order of the runs' seats; nil if the map is damaged.
function seat_look.owners(owners_key, runs)
  local owners = {}
  for i = 1, #runs, 2 do
    local first, count = runs[i], runs[i + 1]
    local cells = redis.pcall('GETRANGE', owners_key, 4 * first, 4 * (first + count) - 1)
    if type(cells) ~= 'string' or #cells ~= 4 * count then
      return nil
    end
    for j = 1, #cells, 4 do
      owners[#owners + 1] = struct.unpack('>I4', cells, j)
    end
  end
  return owners
end

-- The runs of seats that are known to be distinct, in range and ascending.
function seat_look.runs(seats)
  local _, runs = seat_map.read(seats, 1, #seats, math.huge)
  return runs
end

-- Those of the seats whose bit is set.
function seat_look.marked(bitmap_key, seats)
  local marked = {}
  for _, seat in ipairs(seats) do
    if redis.call('GETBIT', bitmap_key, seat) == 1 then
      table.insert(marked, seat)
    end
  end
  return marked
end

return seat_look
end)()
local load_check = (function()
-- What a loader brings must fit together before anything of it is installed.
local load_check = {}

local function bit_of(bytes, seat)
  local byte = string.byte(bytes, math.floor(seat / 8) + 1) or 0
  return math.floor(byte / 2 ^ (7 - seat % 8)) % 2
end

-- Give the blocked seats, ascending. Raises if the bitmaps overlap, do not match the owners or the ledger's count,
-- or are not of the showtime's size.
function load_check.blocked_seats(sold, blocked, owners, seats, sold_count)
  local bytes_min, bytes_max = math.ceil(seats / 8), math.floor(seats / 8) + 1
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

return load_check
end)()

-- names
local keys = {
  meta = KEYS[1], sold = KEYS[2], locked = KEYS[3], blocked = KEYS[4], owners = KEYS[5], holds = KEYS[6],
  deadlines = KEYS[7], customers = KEYS[8], checkouts = KEYS[9], loading = KEYS[10], lapses = KEYS[11],
}
local generation, not_after_ms, step, nonce = ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5]
local nonce_ttl_ms, force = ARGV[6], ARGV[7] == '1'
local FIRST_CUSTOMER, FIRST_NUMBER = 6, 12
local status, seats_count, seq, fence, loads, sold_count = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10],
  tonumber(ARGV[11])
local sold, blocked, owners = ARGV[23], ARGV[24], ARGV[25]

-- check
local now_ms = clock.now_ms
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
local packed, rules, blocked_runs, version
if step == 'finish' then
  packed = policy.pack(ARGV, FIRST_NUMBER)
  rules = policy.read(packed)
  if now_ms >= rules.keys_until_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
  blocked_runs = seat_look.runs(load_check.blocked_seats(sold, blocked, owners, seats_count, sold_count))
  -- Versions only grow, over loads and clocks set back.
  local before, holds = redis.pcall('HGET', keys.meta, 'version'), redis.pcall('ZCARD', keys.deadlines)
  local shown = (type(before) == 'string' and tonumber(before) or 0) + (type(holds) == 'number' and holds or 0)
  version = math.max(now_ms, shown + 1)
end

-- change
local answer
if step == 'begin' then
  redis.call('UNLINK', keys.loading)
  redis.call('HSET', keys.loading, 'nonce', nonce, 'nonce_ttl_ms', nonce_ttl_ms, 'seq', seq_now)
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
  redis.call('UNLINK', keys.meta, keys.sold, keys.locked, keys.blocked, keys.owners, keys.holds, keys.deadlines,
    keys.customers, keys.checkouts)
  redis.call('SET', keys.sold, sold)
  redis.call('SETBIT', keys.sold, seats_count, 1)
  redis.call('SETBIT', keys.locked, seats_count, 1)
  redis.call('SET', keys.blocked, blocked)
  redis.call('SETBIT', keys.blocked, seats_count, 1)
  redis.call('SET', keys.owners, owners)
  seat_map.set(keys.blocked, keys.owners, blocked_runs, 1, struct.pack('>I4', 4294967295))
  redis.call('HSET', keys.holds, '0', '')
  redis.call('HSET', keys.checkouts, '0', '')
  redis.call('ZADD', keys.deadlines, 'inf', '0')
  redis.call('HDEL', keys.loading, 'nonce', 'nonce_ttl_ms', 'seq')
  redis.call('HSET', keys.loading, '0', '')
  redis.call('RENAME', keys.loading, keys.customers)
  redis.call('HSET', keys.meta, 'status', status, 'generation', generation, 'seats', seats_count, 'version', version,
    'fence', fence, 'next_lapse_ms', 0, 'policy', packed, 'seq', seq, 'loads', loads, 'loaded_ms', now_ms)
  redis.call('ZREM', keys.lapses, string.match(keys.meta, ':(%d+):meta$'))
  for i = 1, 9 do
    redis.call('PEXPIREAT', KEYS[i], rules.keys_until_ms)
  end
  answer = {'opened', now_ms, version}
end

-- answer
return answer
