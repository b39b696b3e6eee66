--[[
Sell the seats of a paid booking: its live hold becomes a sale; without one, only if all its seats are still free.

KEYS     meta sold locked blocked owners holds deadlines customers checkouts facts request
ARGV     1 generation  2 not_after_ms  3 request  4 owner  5 claimed_at_ms  6 subject  7 booking  8 gateway
         9 payment session  10.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         sold_already, sale number
         not_found (another's hold) | showtime_closed, CANCELLED or ENDED or FROZEN | hold_changed
         not_on_sale, sales_open_ms (late payment only)
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)... as in claim_seats (late payment only)
         sold, sale number (the hold's owner number), late 0 or 1, seq
RAISES   an index that is no seat of the showtime, or comes twice
EMITS    seats_sold; booking_expired, for each lapsed booking that is taken over, and first for the booking itself
         when its own lapsed hold was still there
COST     O(seats sold + seats of the holds taken over)
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

-- names
local keys = {
  meta = KEYS[1], sold = KEYS[2], locked = KEYS[3], blocked = KEYS[4], owners = KEYS[5], holds = KEYS[6],
  deadlines = KEYS[7], customers = KEYS[8], checkouts = KEYS[9], facts = KEYS[10], request = KEYS[11],
}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local owner, claimed_at_ms, subject = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local booking, gateway, session = ARGV[7], ARGV[8], ARGV[9]
local FIRST_SEAT = 10

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local rules = meta.policy
local seats, runs = seat_map.read(ARGV, FIRST_SEAT, #ARGV, meta.seats)
local cell = struct.pack('>I4', owner)
local sold = seat_map.all(keys.owners, runs, cell) and #seat_look.marked(keys.sold, seats) or 0
local hold, damaged = holds.read(keys.holds, keys.deadlines, owner, rules, now_ms)
-- A seat that is held and sold at once was sold to somebody else, whose number is lost.
if damaged or (hold and (sold > 0 or not end_hold.sound(keys.owners, hold))) then
  return {'damaged', now_ms}
end
if sold == #seats then
  return {'sold_already', now_ms, owner}
end
-- Who opened the payment has proved to be the hold's owner; a guest may have become somebody since (move_hold).
local mine = hold and (hold.subject == subject or hold.payment_open == 1)
if hold and (not mine or hold.claimed_at_ms ~= claimed_at_ms) then
  return {'not_found', now_ms}
end
local late = not hold or hold.lapsed
-- A running checkout may finish; a late payment is a new claim of free seats.
refusal = late and showtime.closed(meta, now_ms) or showtime.over(meta, now_ms)
if refusal then
  return refusal
end
local lapsed = {}
if late then
  local verdict = takeover.judge(keys, seats, subject, rules, now_ms)
  if not verdict then
    return {'damaged', now_ms}
  end
  if #verdict.taken > 0 then
    return takeover.refusal(verdict.taken, now_ms)
  end
  lapsed = end_hold.joined({hold}, verdict.lapsed)
elseif table.concat(hold.seats, ' ') ~= table.concat(seats, ' ') then
  return {'hold_changed', now_ms}
end

-- change
local trace = request.trace(request_text)
if late then
  -- Each of these begins with a deletion: nothing at maxmemory may keep paid seats from being sold.
  for _, gone in ipairs(lapsed) do
    end_hold.expire(keys, meta, generation, gone, now_ms, 'payment_timeout', trace)
  end
  customer_record.change(keys.customers, subject, owner, 0, #seats)
else
  end_hold.forget(keys, hold, #seats)
  seat_map.set(keys.locked, keys.owners, runs, 0, cell)
end
seat_map.set(keys.sold, keys.owners, runs, 1, cell)
meta.version = meta.version + 1
showtime.save(keys.meta, meta)
local seq = facts.emit(keys.facts, keys.meta, generation, 'seats_sold', session, now_ms, {
  booking = booking,
  gateway = gateway,
  session = session,
  sale = owner,
  late = late,
  seats = seats,
}, trace)

-- answer
local answer = {'sold', now_ms, owner, late and 1 or 0, seq}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
