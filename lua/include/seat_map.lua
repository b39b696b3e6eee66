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
