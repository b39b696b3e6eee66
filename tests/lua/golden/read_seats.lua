#!lua flags=no-writes
--[[
Read the map of a showtime, or that nothing changed since the version known.

KEYS     meta sold locked blocked holds deadlines customers
ARGV     1 generation  2 subject, '' for nobody  3 known version, '' for none
RETURNS  not_loaded | stale_generation, generation, seq | damaged
         unchanged, version
         seats, version, status (open, frozen, rebuilding, cancelled), seats, generation, sold bytes, locked bytes,
           blocked bytes, sales_open_ms, sales_stop_ms, ends_ms, count of lapsed seats, lapsed seat...,
           seat of the subject's live holds...
RAISES   nothing
EMITS    nothing
COST     O(seats of the showtime / 8 bytes + seats of lapsed holds)
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

-- names
local keys = {
  meta = KEYS[1], sold = KEYS[2], locked = KEYS[3], blocked = KEYS[4], holds = KEYS[5], deadlines = KEYS[6],
  customers = KEYS[7],
}
local generation, subject, known_version = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- check
local now_ms = clock.now_ms
local meta, refusal = showtime.look(keys.meta, generation, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local lapsed, mine = {}, {}
local lapsed_holds = 0
if meta.next_lapse_ms > 0 and meta.next_lapse_ms <= now_ms then
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '-inf', now_ms)) do
    local hold = holds.read(keys.holds, keys.deadlines, owner, meta.policy, now_ms)
    if not hold then
      return {'damaged', now_ms}
    end
    lapsed_holds = lapsed_holds + 1
    for _, seat in ipairs(hold.seats) do
      table.insert(lapsed, seat)
    end
  end
end
if subject ~= '' then
  local customer = customer_record.read(redis.call('HGET', keys.customers, subject))
  if not customer then
    return {'damaged', now_ms}
  end
  for _, listed in ipairs(customer.holds) do
    local hold = holds.read(keys.holds, keys.deadlines, listed.owner, meta.policy, now_ms)
    if not hold then
      return {'damaged', now_ms}
    end
    for _, seat in ipairs(hold.lapsed and {} or hold.seats) do
      table.insert(mine, seat)
    end
  end
end

-- answer
local version = meta.version + lapsed_holds
if version == known_version then
  return {'unchanged', now_ms, version}
end
local rules = meta.policy
local answer = {'seats', now_ms, version, meta.status, meta.seats, tonumber(generation),
  redis.call('GET', keys.sold), redis.call('GET', keys.locked), redis.call('GET', keys.blocked),
  rules.sales_open_ms, rules.sales_stop_ms, rules.ends_ms, #lapsed}
for _, list in ipairs({lapsed, mine}) do
  for _, seat in ipairs(list) do
    answer[#answer + 1] = seat
  end
end
return answer
