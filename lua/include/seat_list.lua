-- Lists of seat indexes, ascending, and the same as runs {first, count, first, count, ...}: groups sit side by side,
-- and a run costs one command.
local seat_list = {}

-- Bits of one BITFIELD number that a Lua number holds exactly.
local RUN_MAX = 32

function seat_list.runs(seats)
  local runs, last, next_seat = {}, 0, -1
  for i = 1, #seats do
    local seat = seats[i]
    if seat == next_seat and runs[last] < RUN_MAX then
      runs[last] = runs[last] + 1
    else
      runs[last + 1], runs[last + 2] = seat, 1
      last = last + 2
    end
    next_seat = seat + 1
  end
  return runs
end

-- Read seat indexes from values[first..last]. Raises if one is no seat of the showtime or comes twice.
function seat_list.read(values, first, last, seats_count)
  local seats = {}
  for i = first, last do
    seats[i - first + 1] = tonumber(values[i])
  end
  table.sort(seats)
  local previous = -1
  for i = 1, last - first + 1 do
    local seat = seats[i]
    if not seat or seat % 1 ~= 0 or seat <= previous or seat >= seats_count then
      error('seats must be distinct indexes of the showtime')
    end
    previous = seat
  end
  return seats
end

return seat_list
