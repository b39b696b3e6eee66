--[[
Take a showtime over into a new generation, when its data was proved complete up to a seq.

KEYS     meta seats deadlines checkouts request
ARGV     1 new generation  2 not_after_ms  3 request  4 old generation  5 old seq  6 fence: owner numbers begin anew,
         for those of claims that Redis may have lost must never be given again
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | damaged
         stale_generation, generation, seq: it is not what was proved
         adopted, version
RAISES   nothing
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
local generation, not_after_ms, request_text = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local old_generation, old_seq, fence = ARGV[4], ARGV[5], ARGV[6]

-- check
local now_ms = clock_now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
local replay = request_recall(keys.request, request_text, now_ms)
if replay then
  return replay
end
local fields = redis.pcall('HMGET', keys.meta, 'generation', 'seq', 'seats_count', 'version')
if fields.err then
  return {'damaged', now_ms}
end
local stamp, seq, seats_count, version = fields[1], fields[2], tonumber(fields[3]), tonumber(fields[4])
if not stamp and not fields[3] then
  return {'not_loaded', now_ms}
end
if not (stamp and seq and seats_count and version) or not intact_check(keys, seats_count) then
  return {'damaged', now_ms}
end
if stamp ~= old_generation or seq ~= old_seq then
  return {'stale_generation', now_ms, stamp, seq}
end
-- Changes that left no fact may be lost, and viewers have seen their versions: go beyond them, as a load does.
local grown = math.max(now_ms, version + redis.call('ZCARD', keys.deadlines) + 1)

-- change
-- A deletion first: at maxmemory it lets the rest follow. Not of a field that is there: it would come back as the last
-- one, and every look at it would pass all holds.
redis.call('HDEL', keys.meta, 'none')
redis.call('HSET', keys.meta, 'generation', generation, 'seq', 0, 'version', grown, 'fence', fence)

-- answer
local answer = {'adopted', now_ms, grown}
request_remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
