--[[
Give seats of a sale back to stock: only those that still are that very sale's.

KEYS     meta sold owners customers facts request
ARGV     1 generation  2 not_after_ms  3 request  4 subject  5 booking  6 sale number  7 business id of the fact
         8.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         restocked_already: no seat of these is the sale's any more
         restocked, seats freed...
RAISES   an index that is no seat of the showtime, or comes twice
EMITS    seats_restocked
COST     O(seats given)
]]
local clock = (function()
-- Now, in ms since 1970, by Redis' own clock: the only clock that decides anything. Read once, as a value and not by
-- a function: two readings could fall on both sides of a deadline.
local time = redis.call('TIME')

return {now_ms = time[1] * 1000 + math.floor(time[2] / 1000)}
end)()
local request = (function()
-- Replays: the success of a request is kept under its id and given again.
-- The text of a request is its fingerprint, and after a space, if there is one, the trace context.
local request = {}

local REPLAY_GRACE_MS = 600000

local function fingerprint_of(text)
  return string.match(text, '^[^ ]*')
end

-- Give what was answered before, or nil if this request is new or is not to be remembered.
function request.recall(request_key, text, now_ms)
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
function request.remember(request_key, text, answer, until_ms, now_ms)
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

function request.trace(text)
  return string.match(text, ' (.*)$') or ''
end

return request
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
local showtime = (function()
-- A showtime's meta: what stands in it, and whether the showtime takes work now.
local showtime = {}

local STATUSES = {open = true, frozen = true, rebuilding = true, cancelled = true}

-- The number that a field spells in digits; nil if it spells none.
local function whole(text)
  return text and string.find(text, '^%d+$') and tonumber(text) or nil
end

-- Read meta for a reader. Gives meta, or nil and the refusal. In meta: status, seats, version, fence, next_lapse_ms,
-- policy (see policy.read).
function showtime.look(meta_key, generation, now_ms)
  local fields = redis.pcall('HMGET', meta_key,
    'status', 'generation', 'seats', 'version', 'fence', 'next_lapse_ms', 'policy', 'seq')
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
    or not packed or #packed ~= 54 then
    return nil, {'damaged', now_ms}
  end
  return {
    status = status,
    seats = seats,
    version = version,
    fence = fence,
    next_lapse_ms = next_lapse_ms,
    policy = policy.read(packed),
  }
end

-- Read meta for a writer: as look, but a showtime under rebuilding takes no writes.
function showtime.enter(meta_key, generation, now_ms)
  local meta, refusal = showtime.look(meta_key, generation, now_ms)
  if meta and meta.status == 'rebuilding' then
    return nil, {'rebuilding', now_ms}
  end
  return meta, refusal
end

-- Why nothing at all is sold any more; nil if a running checkout may finish.
function showtime.over(meta, now_ms)
  if meta.status == 'cancelled' then
    return {'showtime_closed', now_ms, 'CANCELLED'}
  end
  if now_ms >= meta.policy.ends_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
end

-- Why no seat is given to anybody new now; nil if the showtime is on sale.
function showtime.closed(meta, now_ms)
  local rules = meta.policy
  if meta.status == 'open' and now_ms >= rules.sales_open_ms and now_ms < rules.sales_stop_ms then
    return nil
  end
  if meta.status == 'cancelled' then
    return {'showtime_closed', now_ms, 'CANCELLED'}
  end
  if now_ms >= rules.sales_stop_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
  if meta.status == 'frozen' then
    return {'showtime_closed', now_ms, 'FROZEN'}
  end
  return {'not_on_sale', now_ms, rules.sales_open_ms}
end

-- The version that everybody sees: a hold that lapsed and was not yet ended counts as one change.
function showtime.version(meta, deadlines_key, now_ms)
  if meta.next_lapse_ms == 0 or meta.next_lapse_ms > now_ms then
    return meta.version
  end
  return meta.version + redis.call('ZCOUNT', deadlines_key, '-inf', now_ms)
end

function showtime.save(meta_key, meta)
  redis.call('HSET', meta_key, 'version', meta.version, 'fence', meta.fence)
end

-- The showtime's number, as its keys spell it.
function showtime.number(meta_key)
  return string.match(meta_key, ':(%d+):meta$')
end

return showtime
end)()
local entry = (function()
-- The first questions to every call of a writer: is it late, was it done before, does the showtime take writes.
local entry = {}

-- Gives meta, or nil and the answer.
function entry.writer(meta_key, request_key, generation, not_after_ms, request_text, now_ms)
  if now_ms > tonumber(not_after_ms) then
    return nil, {'too_late', now_ms}
  end
  local replay = request.recall(request_key, request_text, now_ms)
  if replay then
    return nil, replay
  end
  return showtime.enter(meta_key, generation, now_ms)
end

return entry
end)()
local intact = (function()
-- Whether a showtime's keys are all there, of their type, and of full length. Lost memory must never read as
-- "all free"; and an error of Redis halfway through a change would leave half of the change behind.
local intact = {}

-- `keys` holds, by name, any of: sold, locked, blocked, owners, holds, customers, checkouts, deadlines, facts, lapses.
function intact.check(keys, seats)
  for _, name in ipairs({'sold', 'locked', 'blocked'}) do
    local key = keys[name]
    if key and (redis.pcall('STRLEN', key) ~= math.floor(seats / 8) + 1 or redis.call('GETBIT', key, seats) ~= 1) then
      return false
    end
  end
  if keys.owners and redis.pcall('STRLEN', keys.owners) ~= 4 * seats then
    return false
  end
  for _, name in ipairs({'holds', 'customers', 'checkouts'}) do
    if keys[name] and redis.pcall('HEXISTS', keys[name], '0') ~= 1 then
      return false
    end
  end
  if keys.deadlines and redis.pcall('ZSCORE', keys.deadlines, '0') ~= 'inf' then
    return false
  end
  -- The partition's own keys may be absent, but not of another type.
  return not (keys.facts and type(redis.pcall('XLEN', keys.facts)) ~= 'number')
    and not (keys.lapses and type(redis.pcall('ZCARD', keys.lapses)) ~= 'number')
end

return intact
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
local customer_record = (function()
-- Reading and changing what a customer has of a showtime.
local customer_record = {}

-- Give {bought, holds = {{owner, seats}, ...}}, or nil if it is no such record; `packed` is false for a new customer.
function customer_record.read(packed)
  packed = packed or '\0\0'
  if #packed < 2 or (#packed - 2) % 5 ~= 0 then
    return nil
  end
  local customer = {bought = struct.unpack('>H', packed), holds = {}}
  for position = 2 + 1, #packed, 5 do
    local owner, seats = struct.unpack('>I4B', packed, position)
    customer.holds[#customer.holds + 1] = {owner = owner, seats = seats}
  end
  return customer
end

-- Take a hold off or give it another size (`seats` 0 takes it off), and move the bought count. A record that cannot be
-- read begins anew: the caller is in the middle of its change.
function customer_record.change(customers_key, subject, owner, seats, bought_more)
  local customer = customer_record.read(redis.call('HGET', customers_key, subject)) or customer_record.read(false)
  local packed = struct.pack('>H', math.max(customer.bought + bought_more, 0))
  for _, hold in ipairs(customer.holds) do
    if hold.owner ~= owner then
      packed = packed .. struct.pack('>I4B', hold.owner, hold.seats)
    end
  end
  if seats > 0 then
    packed = packed .. struct.pack('>I4B', owner, seats)
  end
  redis.call('HDEL', customers_key, subject)
  if packed ~= '\0\0' then
    redis.call('HSET', customers_key, subject, packed)
  end
end

return customer_record
end)()
local facts = (function()
-- Facts: what happened, appended to the partition's stream in the same step as the change, numbered by seq.
local facts = {}

-- `data` is a table that becomes JSON. Gives the fact's seq.
function facts.emit(facts_key, meta_key, generation, kind, id, now_ms, data, trace)
  local seq = redis.call('HINCRBY', meta_key, 'seq', 1)
  redis.call('XADD', facts_key, '*', 'kind', kind, 'showtime', showtime.number(meta_key), 'generation', generation,
    'seq', seq, 'id', id, 'at', now_ms, 'data', cjson.encode(data), 'trace', trace)
  return seq
end

return facts
end)()

-- names
local keys = {
  meta = KEYS[1], sold = KEYS[2], owners = KEYS[3], customers = KEYS[4], facts = KEYS[5], request = KEYS[6],
}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local subject, booking, sale, business_id = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local FIRST_SEAT = 8

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local seats, runs = seat_map.read(ARGV, FIRST_SEAT, #ARGV, meta.seats)
local freed = {}
for i, owner in ipairs(seat_look.owners(keys.owners, runs)) do
  -- ABA: the seat may have been sold again meanwhile, or claimed under a new number.
  if owner == sale and redis.call('GETBIT', keys.sold, seats[i]) == 1 then
    table.insert(freed, seats[i])
  end
end
if #freed == 0 then
  return {'restocked_already', now_ms}
end

-- change
customer_record.change(keys.customers, subject, 0, 0, -#freed)
seat_map.set(keys.sold, keys.owners, seat_look.runs(freed), 0, '\0\0\0\0')
meta.version = meta.version + 1
showtime.save(keys.meta, meta)
facts.emit(keys.facts, keys.meta, generation, 'seats_restocked', business_id, now_ms, {
  booking = booking,
  sale = sale,
  seats = freed,
}, request.trace(request_text))

-- answer
local answer = {'restocked', now_ms, unpack(freed)}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
