#!lua flags=no-writes
--[[
Read the map of a showtime, or that nothing changed since the version known.

KEYS     meta seats deadlines
ARGV     1 generation  2 subject, '' for nobody  3 known version, '' for none
RETURNS  not_loaded | stale_generation, generation, seq | damaged
         unchanged, version
         seats, version, status (open, frozen, rebuilding, cancelled), seats, generation, bytes of the bitmaps sold,
           locked and blocked one behind the other, sales_open_ms, sales_stop_ms, ends_ms, count of lapsed seats,
           lapsed seat..., seat of the subject's live holds...
RAISES   nothing
EMITS    nothing
COST     O(seats of the showtime / 8 bytes + seats of lapsed holds)
]]
-- include: clock
-- include: showtime
-- include: intact
-- include: seat_map
-- include: holds
-- include: customer_record

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3]}
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
    local hold = holds.read(keys, owner, meta.policy, now_ms)
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
  local customer = customer_record.find(keys.meta, subject)
  if not customer then
    return {'damaged', now_ms}
  end
  for _, owner in ipairs(customer.holds) do
    local hold = holds.read(keys, owner, meta.policy, now_ms)
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
  seat_map.maps(keys.seats, meta.seats), rules.sales_open_ms, rules.sales_stop_ms, rules.ends_ms, #lapsed}
for _, list in ipairs({lapsed, mine}) do
  for _, seat in ipairs(list) do
    answer[#answer + 1] = seat
  end
end
return answer
