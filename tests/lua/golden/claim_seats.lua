--[[
Claim seats for a customer: all of them, or none.

KEYS     meta sold locked blocked owners holds deadlines customers checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 subject (16 bytes), and behind it the rule of
         cool-downs (formats.COOL_DOWN) where they apply  5.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         showtime_closed, CANCELLED or ENDED or FROZEN | not_on_sale, sales_open_ms
         cool_down, ms to wait
         too_many_seats, seats_per_hold_max
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)...
           reason: LOCKED, LOCKED_BY_ME, SOLD, BLOCKED; owner and claimed_at_ms are 0 unless LOCKED_BY_ME
         hold_limit, (owner, claimed_at_ms)... of the customer's live holds
         seat_limit, seats left to the customer
         claimed, the hold answer (include/hold_answer.lua)
RAISES   OOM at maxmemory, before anything changed; an index that is no seat of the showtime, or comes twice
EMITS    booking_expired, for each lapsed booking that is taken over
COST     O(seats asked + seats of the holds taken over). A claim of free seats by a new customer takes 11 commands
         beside the clock's, and makes few functions: what other cases need is included inside their blocks.
]]
local clock = (function()
-- Now, in ms since 1970, by Redis' own clock: the only clock that decides anything. Read once, as a value and not by
-- a function: two readings could fall on both sides of a deadline.
local time = redis.call('TIME')

return {now_ms = time[1] * 1000 + math.floor(time[2] / 1000)}
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
local hold_answer = (function()
-- The one form in which a hold is answered.
local hold_answer = {}

hold_answer.EXTENSIONS_PER_HOLD_MAX = 10

-- Gives {word, now_ms, version, owner, claimed_at_ms, status, deadline_ms, extensions_left, extendable_until_ms,
-- payment_open, subject, checkout, seat, seat, ...}; `checkout` is '' before check-out.
function hold_answer.give(word, now_ms, version, hold, hold_max_ms, checkout)
  local extensions_left, extendable_until_ms = 0, hold.deadline_ms
  if hold.status == 'H' then
    extensions_left = hold_answer.EXTENSIONS_PER_HOLD_MAX - hold.extensions
    extendable_until_ms = hold.claimed_at_ms + hold_max_ms
  end
  return {word, now_ms, version, hold.owner, hold.claimed_at_ms, hold.status, hold.deadline_ms, extensions_left,
    extendable_until_ms, hold.payment_open, hold.subject, checkout, unpack(hold.seats)}
end

return hold_answer
end)()

-- names
local meta_key, sold_key, locked_key, blocked_key, owners_key, holds_key, deadlines_key, customers_key, checkouts_key,
  facts_key, lapses_key, request_key = unpack(KEYS)
local generation, not_after_ms, request_text, subject = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local FIRST_SEAT = 5
local rule = ''
if #subject > 16 then
  subject, rule = string.sub(subject, 1, 16), string.sub(subject, 16 + 1)
end

-- check
local now_ms = clock.now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
if request_text ~= '' then
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
  local replay = request.recall(request_key, request_text, now_ms)
  if replay then
    return replay
  end
end
local status, stamp, seats_count, version, fence, next_lapse_ms, packed = unpack(redis.pcall('HMGET', meta_key,
  'status', 'generation', 'seats', 'version', 'fence', 'next_lapse_ms', 'policy'))
local hold_ttl_ms, hold_max_ms, seats_per_hold_max, seats_per_customer_max, sales_open_ms, sales_stop_ms, _
if status == 'open' and stamp == generation and packed and #packed == 54 then
  hold_ttl_ms, _, hold_max_ms, _, seats_per_hold_max, _, seats_per_customer_max, sales_open_ms, sales_stop_ms =
    struct.unpack('>I4I4I4I4HHHI8I8I8I8', packed)
end
if not hold_ttl_ms or now_ms < sales_open_ms or now_ms >= sales_stop_ms then
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
  local meta, refusal = showtime.enter(meta_key, generation, now_ms)
  return refusal or showtime.closed(meta, now_ms) or {'damaged', now_ms}
end
-- Every key written below is touched here, or as long as one can go back: a lost or mistyped one must not be met
-- halfway.
local record, customers_end, lapses = unpack(redis.pcall('HMGET', customers_key, subject, '0',
  'c' .. subject))
if customers_end ~= ''
  or redis.pcall('EXISTS', sold_key, blocked_key, checkouts_key, holds_key, deadlines_key) ~= 5
  or redis.pcall('GETBIT', locked_key, seats_count) ~= 1 then
  return {'damaged', now_ms}
end
seats_count, version, fence, next_lapse_ms =
  tonumber(seats_count), tonumber(version), tonumber(fence), tonumber(next_lapse_ms)
if not (seats_count and version and fence and next_lapse_ms) then
  return {'damaged', now_ms}
end
local deadline_ms = now_ms + hold_ttl_ms
local lapses_first = next_lapse_ms == 0 or next_lapse_ms > deadline_ms
if lapses_first and type(redis.pcall('ZCARD', lapses_key)) ~= 'number' then
  return {'damaged', now_ms}
end
if lapses and rule ~= '' then
  local cool_down = (function()
-- Holds that a customer left to lapse without ever trying to pay: how many lately, and how long no new claim follows.
local cool_down = {}

local COOL_DOWN_MEMORY_MS = 3600000
local COOL_DOWN_MAX_MS = 900000
local LAPSES_MAX = 255

-- Count a hold that lapsed. Not the first write of any script: it may need memory.
function cool_down.note(customers_key, hold)
  if not hold.lapsed or hold.payment_open ~= 0 or hold.retries ~= 0 then
    return
  end
  local packed = redis.call('HGET', customers_key, 'c' .. hold.subject)
  local lapses, last_ms = 0, 0
  if packed then
    lapses, last_ms = struct.unpack('>BI8', packed)
  end
  if hold.deadline_ms - last_ms > COOL_DOWN_MEMORY_MS then
    lapses = 0
  end
  redis.call('HSET', customers_key, 'c' .. hold.subject,
    struct.pack('>BI8', math.min(lapses + 1, LAPSES_MAX), math.max(last_ms, hold.deadline_ms)))
end

-- How long the customer has to wait still; 0 if they need not. `rule` is free lapses and the first pause: each lapse
-- beyond the free ones doubles it, up to the maximum, counted from the latest lapse.
function cool_down.wait_ms(packed, rule, now_ms)
  local lapses, last_ms = struct.unpack('>BI8', packed)
  local free, pause_ms = struct.unpack('>BI4', rule)
  if lapses <= free or now_ms - last_ms > COOL_DOWN_MEMORY_MS then
    return 0
  end
  pause_ms = math.min(pause_ms * 2 ^ math.min(lapses - free - 1, 20), COOL_DOWN_MAX_MS)
  return math.max(last_ms + pause_ms - now_ms, 0)
end

return cool_down
  end)()
  local wait_ms = cool_down.wait_ms(lapses, rule, now_ms)
  if wait_ms > 0 then
    return {'cool_down', now_ms, wait_ms}
  end
end
local seats, runs = seat_map.read(ARGV, FIRST_SEAT, #ARGV, seats_count)
if #seats > seats_per_hold_max then
  return {'too_many_seats', now_ms, seats_per_hold_max}
end
local free = seat_map.all(owners_key, runs, '\0\0\0\0')
local meta, keys, lapsed
if not free or record then
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
  local holds = (function()
-- Finding holds by what a hold id says, and keeping them.
local holds = {}

-- Read a hold and its deadline. Gives nil if there is none, or nil and 'damaged' if only half of it is there.
-- `capped` tells that the stored deadline lies beyond what any clock but a wrong one could have written.
function holds.read(holds_key, deadlines_key, owner, rules, now_ms)
  local packed = redis.pcall('HGET', holds_key, owner)
  local score = redis.pcall('ZSCORE', deadlines_key, owner)
  if not packed and not score then
    return nil
  end
  if type(packed) ~= 'string' or #packed <= 28 or (#packed - 28) % 2 ~= 0
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
  }
  hold.subject, hold.claimed_at_ms, hold.status, hold.extensions, hold.retries, hold.payment_open =
    struct.unpack('>c16I8c1BBB', packed)
  for position = 28 + 1, #packed, 2 do
    hold.seats[#hold.seats + 1] = struct.unpack('>' .. 'H', packed, position)
  end
  return hold
end

-- Owner numbers of one load share their high byte and are given in ascending order.
local function never_issued(owner, meta)
  return owner > meta.fence and math.floor(owner / 2 ^ 24) == math.floor(meta.fence / 2 ^ 24)
end

-- Read the live hold that a hold id names (same owner number, same moment of the claim), for its own customer
-- ('' stands for staff and the system). Gives the hold, or nil and the refusal.
function holds.own(holds_key, deadlines_key, owner, claimed_at_ms, subject, meta, now_ms)
  local hold, damaged = holds.read(holds_key, deadlines_key, owner, meta.policy, now_ms)
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
function holds.save(holds_key, hold)
  redis.call('HDEL', holds_key, hold.owner)
  redis.call('HSET', holds_key, hold.owner, struct.pack('>c16I8c1BBB' .. string.rep('H', #hold.seats),
    hold.subject, hold.claimed_at_ms, hold.status, hold.extensions, hold.retries, hold.payment_open,
    unpack(hold.seats)))
end

return holds
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
  local cool_down = (function()
-- Holds that a customer left to lapse without ever trying to pay: how many lately, and how long no new claim follows.
local cool_down = {}

local COOL_DOWN_MEMORY_MS = 3600000
local COOL_DOWN_MAX_MS = 900000
local LAPSES_MAX = 255

-- Count a hold that lapsed. Not the first write of any script: it may need memory.
function cool_down.note(customers_key, hold)
  if not hold.lapsed or hold.payment_open ~= 0 or hold.retries ~= 0 then
    return
  end
  local packed = redis.call('HGET', customers_key, 'c' .. hold.subject)
  local lapses, last_ms = 0, 0
  if packed then
    lapses, last_ms = struct.unpack('>BI8', packed)
  end
  if hold.deadline_ms - last_ms > COOL_DOWN_MEMORY_MS then
    lapses = 0
  end
  redis.call('HSET', customers_key, 'c' .. hold.subject,
    struct.pack('>BI8', math.min(lapses + 1, LAPSES_MAX), math.max(last_ms, hold.deadline_ms)))
end

-- How long the customer has to wait still; 0 if they need not. `rule` is free lapses and the first pause: each lapse
-- beyond the free ones doubles it, up to the maximum, counted from the latest lapse.
function cool_down.wait_ms(packed, rule, now_ms)
  local lapses, last_ms = struct.unpack('>BI8', packed)
  local free, pause_ms = struct.unpack('>BI4', rule)
  if lapses <= free or now_ms - last_ms > COOL_DOWN_MEMORY_MS then
    return 0
  end
  pause_ms = math.min(pause_ms * 2 ^ math.min(lapses - free - 1, 20), COOL_DOWN_MAX_MS)
  return math.max(last_ms + pause_ms - now_ms, 0)
end

return cool_down
  end)()
  local hold_id = (function()
-- The UUID text of a hold's id; engine/seats/ids.py draws the same bits.
local hold_id = {}

function hold_id.text(claimed_at_ms, owner, showtime_number)
  local low = 2 ^ 31 + (owner % 2 ^ 20) * 2 ^ 10
  return string.format('%08x-%04x-7%03x-%04x-%04x%08x',
    math.floor(claimed_at_ms / 2 ^ 16), claimed_at_ms % 2 ^ 16, math.floor(owner / 2 ^ 20),
    math.floor(low / 2 ^ 16), low % 2 ^ 16, showtime_number)
end

return hold_id
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
  local end_hold = (function()
-- Ending a hold: all its seats become free, all its records go, and a booking's end becomes a fact.
local end_hold = {}

-- Whether every seat of the hold still is the hold's: only then may it be ended.
function end_hold.sound(owners_key, hold)
  return seat_map.all(owners_key, seat_look.runs(hold.seats), struct.pack('>I4', hold.owner))
end

-- The holds of both lists, each once.
function end_hold.joined(some, others)
  local joined, seen = {}, {}
  for _, list in ipairs({some, others}) do
    for _, hold in ipairs(list) do
      if not seen[hold.owner] then
        seen[hold.owner] = true
        table.insert(joined, hold)
      end
    end
  end
  return joined
end

-- Take a hold's records away, leaving its seats. Begins with HDEL: it can always finish, also at maxmemory.
-- `bought` seats go over to what the customer has bought.
function end_hold.forget(keys, hold, bought)
  redis.call('HDEL', keys.holds, hold.owner)
  redis.call('HDEL', keys.checkouts, hold.owner)
  redis.call('ZREM', keys.deadlines, hold.owner)
  customer_record.change(keys.customers, hold.subject, hold.owner, 0, bought)
end

-- Free the seats of a hold and take its records away; a booking's end becomes a fact. The caller saves meta.
local function free(keys, meta, generation, hold, now_ms, kind, reason, trace)
  local checkout = redis.call('HGET', keys.checkouts, hold.owner) or ''
  end_hold.forget(keys, hold, 0)
  seat_map.set(keys.locked, keys.owners, seat_look.runs(hold.seats), 0, '\0\0\0\0')
  meta.version = meta.version + 1
  if hold.status == 'P' then
    local booking = hold_id.text(hold.claimed_at_ms, hold.owner, showtime.number(keys.meta))
    facts.emit(keys.facts, keys.meta, generation, kind, booking, now_ms, {
      booking = booking,
      owner = hold.owner,
      claimed_at_ms = hold.claimed_at_ms,
      deadline_ms = hold.deadline_ms,
      seats = hold.seats,
      reason = reason,
      checkout = checkout,
    }, trace)
  end
end

-- End a hold whose time is over, or is declared over.
function end_hold.expire(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_expired', reason, trace)
  cool_down.note(keys.customers, hold)
end

-- End a hold that somebody gave up or took away.
function end_hold.cancel(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_cancelled', reason, trace)
end

return end_hold
  end)()
  local customer_holds = (function()
-- A customer's holds of one showtime, live and lapsed: only live ones count for the limits.
local customer_holds = {}

-- Gives {live, lapsed: lists of holds; seats: of the live ones}, or nil if the keys contradict each other, or there is
-- no record of the customer that could be read.
function customer_holds.read(keys, customer, rules, now_ms)
  if not customer then
    return nil
  end
  local found = {live = {}, lapsed = {}, seats = 0}
  for _, listed in ipairs(customer.holds) do
    local hold = holds.read(keys.holds, keys.deadlines, listed.owner, rules, now_ms)
    if not hold or not end_hold.sound(keys.owners, hold) then
      return nil
    end
    if hold.lapsed then
      table.insert(found.lapsed, hold)
    else
      table.insert(found.live, hold)
      found.seats = found.seats + #hold.seats
    end
  end
  return found
end

-- Flat list of owner, claimed_at_ms: what Python makes hold ids of.
function customer_holds.names(list)
  local names = {}
  for i, hold in ipairs(list) do
    names[2 * i - 1], names[2 * i] = hold.owner, hold.claimed_at_ms
  end
  return names
end

return customer_holds
  end)()
  local deadlines = (function()
-- Deadlines of holds, and the hint by which the worker's timer finds the next one to lapse.
local deadlines = {}

-- Set a hold's deadline. meta.next_lapse_ms is never later than the earliest deadline.
function deadlines.set(deadlines_key, lapses_key, meta_key, meta, owner, deadline_ms)
  redis.call('ZADD', deadlines_key, deadline_ms, owner)
  if meta.next_lapse_ms == 0 or deadline_ms < meta.next_lapse_ms then
    meta.next_lapse_ms = deadline_ms
    redis.call('HSET', meta_key, 'next_lapse_ms', deadline_ms)
    redis.call('ZADD', lapses_key, deadline_ms, showtime.number(meta_key))
  end
end

-- Bring deadlines that a clock, since set back, left beyond the maximum down to it; else such holds would be
-- eternal. The only write that a refusal may follow: no seat and no record changes by it.
function deadlines.mend(deadlines_key, lapses_key, meta_key, meta, capped)
  for _, hold in ipairs(capped) do
    deadlines.set(deadlines_key, lapses_key, meta_key, meta, hold.owner, hold.deadline_ms)
  end
end

-- Find the earliest deadline anew and tell the timer. Gives it, or 0 without a hold.
function deadlines.renew(deadlines_key, lapses_key, meta_key)
  local first = redis.call('ZRANGE', deadlines_key, 0, 0, 'WITHSCORES')
  if first[1] == '0' then
    redis.call('ZREM', lapses_key, showtime.number(meta_key))
    redis.call('HSET', meta_key, 'next_lapse_ms', 0)
    return 0
  end
  redis.call('ZADD', lapses_key, first[2], showtime.number(meta_key))
  redis.call('HSET', meta_key, 'next_lapse_ms', first[2])
  return tonumber(first[2])
end

return deadlines
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
  local takeover = (function()
-- Judging seats that somebody has: lapsed holds among their owners are gone for the next claim, all others refuse.
local takeover = {}

local function refuse(list, ...)
  for _, value in ipairs({...}) do
    table.insert(list, value)
  end
end

-- Judge seats for `subject` ('' is nobody's). Gives nil if the keys contradict each other, else a table:
--   taken    {seat, reason, deadline_ms, owner, claimed_at_ms, ...} flat; owner and claim only of the subject's own
--   kept     the same of seats that are sold or blocked only: nobody can be evicted from them
--   lapsed   holds to end before the seats are given
--   live     live holds met, each once
--   capped   those of them whose stored deadline must be rewritten
function takeover.judge(keys, seats, subject, rules, now_ms)
  local owners = seat_look.owners(keys.owners, seat_look.runs(seats))
  if not owners then
    return nil
  end
  local verdict = {taken = {}, kept = {}, lapsed = {}, live = {}, capped = {}}
  local met = {}
  for i, seat in ipairs(seats) do
    local owner = owners[i]
    local sold, locked, blocked = redis.call('GETBIT', keys.sold, seat), redis.call('GETBIT', keys.locked, seat),
      redis.call('GETBIT', keys.blocked, seat)
    if sold + locked + blocked ~= (owner == 0 and 0 or 1) or (blocked == 1) ~= (owner == 4294967295) then
      return nil
    end
    if sold == 1 then
      refuse(verdict.taken, seat, 'SOLD', 0, 0, 0)
      refuse(verdict.kept, seat, 'SOLD', 0, 0, 0)
    elseif blocked == 1 then
      refuse(verdict.taken, seat, 'BLOCKED', 0, 0, 0)
      refuse(verdict.kept, seat, 'BLOCKED', 0, 0, 0)
    elseif locked == 1 then
      local hold = met[owner] or holds.read(keys.holds, keys.deadlines, owner, rules, now_ms)
      if not hold or not (met[owner] or end_hold.sound(keys.owners, hold)) then
        return nil
      end
      if not met[owner] then
        met[owner] = hold
        table.insert(hold.lapsed and verdict.lapsed or verdict.live, hold)
        if hold.capped then
          table.insert(verdict.capped, hold)
        end
      end
      if not hold.lapsed and hold.subject == subject then
        refuse(verdict.taken, seat, 'LOCKED_BY_ME', hold.deadline_ms, owner, hold.claimed_at_ms)
      elseif not hold.lapsed then
        refuse(verdict.taken, seat, 'LOCKED', hold.deadline_ms, 0, 0)
      end
    end
  end
  return verdict
end

-- The refusal made of a flat list of taken seats.
function takeover.refusal(taken, now_ms)
  local refusal = {'seats_taken', now_ms}
  for i = 1, #taken do
    refusal[i + 2] = taken[i]
  end
  return refusal
end

return takeover
  end)()
  keys = {
    meta = meta_key, sold = sold_key, locked = locked_key, blocked = blocked_key, owners = owners_key,
    holds = holds_key, deadlines = deadlines_key, customers = customers_key, checkouts = checkouts_key,
    facts = facts_key, lapses = lapses_key,
  }
  if not intact.check(keys, seats_count) then
    return {'damaged', now_ms}
  end
  local refusal
  meta, refusal = showtime.enter(meta_key, generation, now_ms)
  if refusal then
    return refusal
  end
  local rules = meta.policy
  local verdict = takeover.judge(keys, seats, subject, rules, now_ms)
  local customer = customer_record.read(record)
  local mine = customer_holds.read(keys, customer, rules, now_ms)
  if not verdict or not mine then
    return {'damaged', now_ms}
  end
  if #verdict.taken > 0 then
    deadlines.mend(deadlines_key, lapses_key, meta_key, meta, verdict.capped)
    return takeover.refusal(verdict.taken, now_ms)
  end
  if #mine.live >= rules.holds_per_customer_max then
    return {'hold_limit', now_ms, unpack(customer_holds.names(mine.live))}
  end
  local left = seats_per_customer_max - customer.bought - mine.seats
  if #seats > left then
    return {'seat_limit', now_ms, math.max(left, 0)}
  end
  lapsed = end_hold.joined(verdict.lapsed, mine.lapsed)
elseif #seats > seats_per_customer_max then
  return {'seat_limit', now_ms, seats_per_customer_max}
end

-- change
local owner = fence + 1
-- Tried before all else: at maxmemory Redis refuses the first write, and with it the whole claim; a key of another type
-- and a number that somebody has are damage. Nothing has changed then.
local tried = redis.pcall('HSETNX', holds_key, owner, struct.pack('>c16I8c1BBB' .. string.rep('H', #seats),
  subject, now_ms, 'H', 0, 0, 0, unpack(seats)))
if tried == 1 then
  tried = redis.pcall('ZADD', deadlines_key, 'NX', deadline_ms, owner)
  if tried ~= 1 then
    redis.pcall('HDEL', holds_key, owner)
  end
end
if tried ~= 1 then
  local full = type(tried) == 'table' and not string.find(tried.err, 'WRONGTYPE', 1, true)
  return full and tried or {'damaged', now_ms}
end
if lapsed and #lapsed > 0 then
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
  local cool_down = (function()
-- Holds that a customer left to lapse without ever trying to pay: how many lately, and how long no new claim follows.
local cool_down = {}

local COOL_DOWN_MEMORY_MS = 3600000
local COOL_DOWN_MAX_MS = 900000
local LAPSES_MAX = 255

-- Count a hold that lapsed. Not the first write of any script: it may need memory.
function cool_down.note(customers_key, hold)
  if not hold.lapsed or hold.payment_open ~= 0 or hold.retries ~= 0 then
    return
  end
  local packed = redis.call('HGET', customers_key, 'c' .. hold.subject)
  local lapses, last_ms = 0, 0
  if packed then
    lapses, last_ms = struct.unpack('>BI8', packed)
  end
  if hold.deadline_ms - last_ms > COOL_DOWN_MEMORY_MS then
    lapses = 0
  end
  redis.call('HSET', customers_key, 'c' .. hold.subject,
    struct.pack('>BI8', math.min(lapses + 1, LAPSES_MAX), math.max(last_ms, hold.deadline_ms)))
end

-- How long the customer has to wait still; 0 if they need not. `rule` is free lapses and the first pause: each lapse
-- beyond the free ones doubles it, up to the maximum, counted from the latest lapse.
function cool_down.wait_ms(packed, rule, now_ms)
  local lapses, last_ms = struct.unpack('>BI8', packed)
  local free, pause_ms = struct.unpack('>BI4', rule)
  if lapses <= free or now_ms - last_ms > COOL_DOWN_MEMORY_MS then
    return 0
  end
  pause_ms = math.min(pause_ms * 2 ^ math.min(lapses - free - 1, 20), COOL_DOWN_MAX_MS)
  return math.max(last_ms + pause_ms - now_ms, 0)
end

return cool_down
  end)()
  local hold_id = (function()
-- The UUID text of a hold's id; engine/seats/ids.py draws the same bits.
local hold_id = {}

function hold_id.text(claimed_at_ms, owner, showtime_number)
  local low = 2 ^ 31 + (owner % 2 ^ 20) * 2 ^ 10
  return string.format('%08x-%04x-7%03x-%04x-%04x%08x',
    math.floor(claimed_at_ms / 2 ^ 16), claimed_at_ms % 2 ^ 16, math.floor(owner / 2 ^ 20),
    math.floor(low / 2 ^ 16), low % 2 ^ 16, showtime_number)
end

return hold_id
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
  local end_hold = (function()
-- Ending a hold: all its seats become free, all its records go, and a booking's end becomes a fact.
local end_hold = {}

-- Whether every seat of the hold still is the hold's: only then may it be ended.
function end_hold.sound(owners_key, hold)
  return seat_map.all(owners_key, seat_look.runs(hold.seats), struct.pack('>I4', hold.owner))
end

-- The holds of both lists, each once.
function end_hold.joined(some, others)
  local joined, seen = {}, {}
  for _, list in ipairs({some, others}) do
    for _, hold in ipairs(list) do
      if not seen[hold.owner] then
        seen[hold.owner] = true
        table.insert(joined, hold)
      end
    end
  end
  return joined
end

-- Take a hold's records away, leaving its seats. Begins with HDEL: it can always finish, also at maxmemory.
-- `bought` seats go over to what the customer has bought.
function end_hold.forget(keys, hold, bought)
  redis.call('HDEL', keys.holds, hold.owner)
  redis.call('HDEL', keys.checkouts, hold.owner)
  redis.call('ZREM', keys.deadlines, hold.owner)
  customer_record.change(keys.customers, hold.subject, hold.owner, 0, bought)
end

-- Free the seats of a hold and take its records away; a booking's end becomes a fact. The caller saves meta.
local function free(keys, meta, generation, hold, now_ms, kind, reason, trace)
  local checkout = redis.call('HGET', keys.checkouts, hold.owner) or ''
  end_hold.forget(keys, hold, 0)
  seat_map.set(keys.locked, keys.owners, seat_look.runs(hold.seats), 0, '\0\0\0\0')
  meta.version = meta.version + 1
  if hold.status == 'P' then
    local booking = hold_id.text(hold.claimed_at_ms, hold.owner, showtime.number(keys.meta))
    facts.emit(keys.facts, keys.meta, generation, kind, booking, now_ms, {
      booking = booking,
      owner = hold.owner,
      claimed_at_ms = hold.claimed_at_ms,
      deadline_ms = hold.deadline_ms,
      seats = hold.seats,
      reason = reason,
      checkout = checkout,
    }, trace)
  end
end

-- End a hold whose time is over, or is declared over.
function end_hold.expire(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_expired', reason, trace)
  cool_down.note(keys.customers, hold)
end

-- End a hold that somebody gave up or took away.
function end_hold.cancel(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_cancelled', reason, trace)
end

return end_hold
  end)()
  for _, gone in ipairs(lapsed) do
    end_hold.expire(keys, meta, generation, gone, now_ms, 'payment_timeout', request.trace(request_text))
  end
  version = meta.version
  record = redis.call('HGET', customers_key, subject)
end
seat_map.set(locked_key, owners_key, runs, 1, struct.pack('>I4', owner))
redis.call('HSET', customers_key, subject,
  (record or '\0\0') .. struct.pack('>I4B', owner, #seats))
version = version + 1
if lapses_first then
  redis.call('HSET', meta_key, 'version', version, 'fence', owner, 'next_lapse_ms', deadline_ms)
  redis.call('ZADD', lapses_key, deadline_ms, string.match(meta_key, ':(%d+):meta$'))
else
  redis.call('HSET', meta_key, 'version', version, 'fence', owner)
end

-- answer
-- Lapsed holds of others count as changes; see showtime.version.
if next_lapse_ms > 0 and next_lapse_ms <= now_ms then
  version = version + redis.call('ZCOUNT', deadlines_key, '-inf', now_ms)
end
local answer = hold_answer.give('claimed', now_ms, version, {
  owner = owner, claimed_at_ms = now_ms, status = 'H', deadline_ms = deadline_ms, extensions = 0, payment_open = 0,
  subject = subject, seats = seats,
}, hold_max_ms, '')
if request_text ~= '' then
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
  request.remember(request_key, request_text, answer, deadline_ms, now_ms)
end
return answer
