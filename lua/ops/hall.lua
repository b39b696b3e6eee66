--[[
Draw the hall of one showtime as Redis has it now: a character per seat, counts, and the holds that end next.

    redis-cli --raw -r -1 -i 1 --eval lua/ops/hall.lua "$(seatlock key 42 meta)" , 20

KEYS
  meta            any key of the showtime; the names of the others follow from it
ARGV
  width           seats per line, 1 to 200; 20 if absent (Redis knows the order of seats, not their rows)
  holds_shown     how many holds are listed, soonest first; 5 if absent
RETURNS
  text lines      for people; nothing else reads them
RAISES
  nothing; a showtime that is not loaded, or a damaged one, is said in words
EMITS
  nothing; reads only
COST
  O(seats of the showtime) + O(1000 holds): a view for one person, not for a program
]]

-- names
local prefix = string.match(KEYS[1] or '', '^(.*:%d+:)%a*$')
local width = math.max(1, math.min(200, tonumber(ARGV[1] or '') or 20))
local holds_shown = math.max(0, math.min(100, tonumber(ARGV[2] or '') or 5))
local HOLDS_READ_MAX = 1000
-- What lua/include/formats.lua and seat_map.lua say, which a script for redis-cli cannot include.
local MAPS = { 'sold', 'locked', 'blocked' }
local STATE_AT, FIRST_SEAT_AT, PAYMENT_OPEN, CHECKED_OUT = 23, 24, 64, 128
local POLICY = '>I4I4I4I4BBHI6I6I6I6'

-- check
if not prefix then
  return 'give a key of a showtime: seatlock key 42'
end
local number = string.match(prefix, ':(%d+):$')
local meta = {}
local pairs_of_meta = redis.call('HGETALL', prefix .. 'meta')
for i = 1, #pairs_of_meta, 2 do
  meta[pairs_of_meta[i]] = pairs_of_meta[i + 1]
end
local seats = tonumber(meta.seats_count or '')
if not seats then
  return 'showtime ' .. number .. ' is not loaded'
end

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function phase()
  if not meta.policy or #meta.policy ~= 44 then
    return 'NO POLICY'
  end
  local rules = { struct.unpack(POLICY, meta.policy) }
  local open_ms, stop_ms, ends_ms = rules[8], rules[9], rules[10]
  if now_ms < open_ms then
    return string.format('sales open in %.0f s', (open_ms - now_ms) / 1000)
  elseif now_ms < stop_ms then
    return string.format('sales stop in %.0f s', (stop_ms - now_ms) / 1000)
  end
  return now_ms < ends_ms and 'sales stopped' or 'ended'
end

local map_bytes = math.floor(seats / 8) + 1
local bytes_of_seats = redis.pcall('GET', prefix .. 'seats')
bytes_of_seats = type(bytes_of_seats) == 'string' and bytes_of_seats or ''

local function has(map, seat)
  local byte = string.byte(bytes_of_seats, (map - 1) * map_bytes + math.floor(seat / 8) + 1) or 0
  return math.floor(byte / 2 ^ (7 - seat % 8)) % 2 == 1
end

local damage = {}
if #bytes_of_seats ~= #MAPS * map_bytes + 4 * seats then
  damage[1] = string.format('%d bytes of seats, not %d', #bytes_of_seats, #MAPS * map_bytes + 4 * seats)
end
for map, name in ipairs(MAPS) do
  if not has(map, seats) then
    damage[#damage + 1] = 'no sentinel in ' .. name
  end
end

-- The holds that end first, and with them what the locked bits alone do not tell: lapsed, or paying.
local mark_of = {}
local listed = {}
local hold_count = math.max(0, redis.call('ZCARD', prefix .. 'deadlines') - 1)
local soonest = redis.call('ZRANGE', prefix .. 'deadlines', 0, HOLDS_READ_MAX - 1, 'WITHSCORES')
for i = 1, #soonest, 2 do
  local owner, deadline_ms = soonest[i], tonumber(soonest[i + 1])
  local record = owner ~= '0' and meta[owner]
  if record and #record >= FIRST_SEAT_AT - 1 then
    local lapsed = deadline_ms <= now_ms
    local state = string.byte(record, STATE_AT)
    local pending = state >= CHECKED_OUT
    local mark = lapsed and '~' or pending and 'p' or 'h'
    local indexes = {}
    for at = FIRST_SEAT_AT, #record - 1, 2 do
      local seat = struct.unpack('>H', record, at)
      mark_of[seat] = mark
      indexes[#indexes + 1] = seat
    end
    if #listed < holds_shown then
      local left_s = (deadline_ms - now_ms) / 1000
      listed[#listed + 1] = string.format(
        '  %-20s %-8s owner %-10s seats %s',
        lapsed and string.format('lapsed %.0f s ago', -left_s) or string.format('%.0f s left', left_s),
        pending and (state % CHECKED_OUT >= PAYMENT_OPEN and 'PAYING' or 'PENDING') or 'HELD',
        owner,
        table.concat(indexes, ' ')
      )
    end
  end
end

-- answer
local counts = { ['.'] = 0, h = 0, p = 0, ['~'] = 0, S = 0, x = 0, ['!'] = 0 }
local lines = {}
local line = {}
for seat = 0, seats - 1 do
  local is_sold, is_locked, is_blocked = has(1, seat), has(2, seat), has(3, seat)
  local mark = '.'
  if (is_sold and is_locked) or (is_sold and is_blocked) or (is_locked and is_blocked) then
    mark = '!'
  elseif is_sold then
    mark = 'S'
  elseif is_blocked then
    mark = 'x'
  elseif is_locked then
    mark = mark_of[seat] or 'h'
  end
  counts[mark] = counts[mark] + 1
  line[#line + 1] = mark
  if #line == width or seat == seats - 1 then
    lines[#lines + 1] = string.format('%6d  %s', seat - #line + 1, table.concat(line))
    line = {}
  end
end

local answer = {
  string.format(
    'showtime %s  %s, %s  generation %s  seq %s  version %s',
    number, meta.status or '?', phase(), meta.generation or '?', meta.seq or '?', meta.version or '?'
  ),
  string.format(
    '%d seats: %d available .  %d held h  %d pending p  %d lapsed ~  %d sold S  %d blocked x',
    seats, counts['.'], counts.h, counts.p, counts['~'], counts.S, counts.x
  ),
}
if counts['!'] > 0 then
  answer[#answer + 1] = string.format('WRONG: %d seats are in more than one state, shown as !', counts['!'])
end
if #damage > 0 then
  answer[#answer + 1] = 'DAMAGED: ' .. table.concat(damage, ', ')
end
for _, text in ipairs(lines) do
  answer[#answer + 1] = text
end
answer[#answer + 1] = string.format('%d holds%s', hold_count, #listed > 0 and ', next to end:' or '')
for _, text in ipairs(listed) do
  answer[#answer + 1] = text
end
answer[#answer + 1] = ''
return answer
