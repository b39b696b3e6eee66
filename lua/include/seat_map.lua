-- Seats, and who has which: the string `seats` is three bitmaps (sold, locked, blocked), as long as each other, and
-- behind them a cell of 4 bytes per seat. No other module reckons with places in it. After the last seat of a bitmap
-- one more bit is always set, its sentinel. A cell of 0 is nobody, so one look at the cells proves that seats are free.
-- Seats come as runs {first, count, first, count, ...}: groups sit side by side, and a run costs one command.
-- include: formats
local seat_map = {}

-- Read seat indexes from values[first..last]. Gives them ascending, and their runs.
-- Raises if one is no seat of the showtime or comes twice.
function seat_map.read(values, first, last, seats_count)
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

-- How many bytes a bitmap has; three of them stand before the first cell.
function seat_map.map_bytes(seats_count)
  return (seats_count - seats_count % 8) / 8 + 1
end

-- Where a seat's bit stands; that of seat number `seats_count` is the bitmap's sentinel.
function seat_map.bit(map, seats_count, seat)
  return 8 * map * seat_map.map_bytes(seats_count) + seat
end

-- The three bitmaps, one behind the other.
function seat_map.maps(seats_key, seats_count)
  return redis.call('GETRANGE', seats_key, 0, formats.MAPS * seat_map.map_bytes(seats_count) - 1)
end

-- The bits of a run in each of the three bitmaps, as one number each: that of the last seat is worth 1. The run behind
-- the last seat is the sentinel.
function seat_map.bits(seats_key, seats_count, first, count)
  local kind = 'u' .. count
  return redis.call('BITFIELD_RO', seats_key, 'GET', kind, seat_map.bit(formats.SOLD_MAP, seats_count, first),
    'GET', kind, seat_map.bit(formats.LOCKED_MAP, seats_count, first),
    'GET', kind, seat_map.bit(formats.BLOCKED_MAP, seats_count, first))
end

-- The cells of a run; shorter, or an error, if the string is not what it should be.
function seat_map.cells(seats_key, seats_count, first, count)
  local at = formats.MAPS * seat_map.map_bytes(seats_count) + 4 * first
  return redis.pcall('GETRANGE', seats_key, at, at + 4 * count - 1)
end

-- Whether each cell is there and is `cell`.
function seat_map.all(seats_key, seats_count, runs, cell)
  for i = 1, #runs, 2 do
    if seat_map.cells(seats_key, seats_count, runs[i], runs[i + 1]) ~= string.rep(cell, runs[i + 1]) then
      return false
    end
  end
  return true
end

-- Fill cells.
function seat_map.fill(seats_key, seats_count, runs, cell)
  local cells_at = formats.MAPS * seat_map.map_bytes(seats_count)
  for i = 1, #runs, 2 do
    redis.call('SETRANGE', seats_key, cells_at + 4 * runs[i], string.rep(cell, runs[i + 1]))
  end
end

-- Set (or with bit 0 clear) the seats in a bitmap, and fill their cells.
function seat_map.set(seats_key, seats_count, map, runs, bit, cell)
  for i = 1, #runs, 2 do
    redis.call('BITFIELD', seats_key, 'SET', 'u' .. runs[i + 1], seat_map.bit(map, seats_count, runs[i]),
      bit * (2 ^ runs[i + 1] - 1))
  end
  seat_map.fill(seats_key, seats_count, runs, cell)
end

return seat_map
