-- Who has which seat: a cell of 4 bytes per seat in `owners`, and the bitmaps sold, locked, blocked beside it.
-- A cell of 0 is nobody, so one read of the cells proves that seats are free. A blocked seat's cell is BLOCKED.
-- Seats come as a run list {first, count, first, count, ...}: groups sit side by side, and a run costs one command.
local seat_map = {}

local RUN_MAX = 32
local RUNS_PER_CALL = 500

seat_map.BLOCKED = 4294967295

-- Read seat indexes from values[first..last], ascending. Raises if one is no seat of the showtime or comes twice.
function seat_map.read(values, first, last, seats_count)
  local seats = {}
  for i = first, last do
    local seat = tonumber(values[i])
    if not seat or seat < 0 or seat >= seats_count or seat ~= math.floor(seat) then
      error('a seat index is not of this showtime')
    end
    seats[i - first + 1] = seat
  end
  table.sort(seats)
  for i = 2, #seats do
    if seats[i] == seats[i - 1] then
      error('a seat index comes twice')
    end
  end
  return seats
end

function seat_map.runs(seats)
  local runs, last = {}, 0
  for i = 1, #seats do
    local seat = seats[i]
    if last > 0 and runs[last - 1] + runs[last] == seat and runs[last] < RUN_MAX then
      runs[last] = runs[last] + 1
    else
      runs[last + 1], runs[last + 2] = seat, 1
      last = last + 2
    end
  end
  return runs
end

-- Whether each cell is there and is `owner`'s (0: nobody's).
function seat_map.all_of(owners_key, runs, owner)
  local cell = struct.pack('>I4', owner)
  for i = 1, #runs, 2 do
    local first, count = runs[i], runs[i + 1]
    if redis.pcall('GETRANGE', owners_key, 4 * first, 4 * (first + count) - 1) ~= string.rep(cell, count) then
      return false
    end
  end
  return true
end

-- Owner numbers in the order of the runs' seats; nil if the map is damaged.
function seat_map.owners(owners_key, runs)
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

function seat_map.give(owners_key, runs, owner)
  local cell = struct.pack('>I4', owner)
  for i = 1, #runs, 2 do
    redis.call('SETRANGE', owners_key, 4 * runs[i], string.rep(cell, runs[i + 1]))
  end
end

-- Set (1) or clear (0) the bits of the runs.
function seat_map.mark(bitmap_key, runs, bit)
  for from = 1, #runs, 2 * RUNS_PER_CALL do
    local ops = {}
    for i = from, math.min(from + 2 * RUNS_PER_CALL, #runs + 1) - 1, 2 do
      local n = #ops
      ops[n + 1], ops[n + 2], ops[n + 3] = 'SET', 'u' .. runs[i + 1], runs[i]
      ops[n + 4] = bit == 1 and 2 ^ runs[i + 1] - 1 or 0
    end
    redis.call('BITFIELD', bitmap_key, unpack(ops))
  end
end

-- Whether every bit of the runs is set.
function seat_map.all_marked(bitmap_key, runs)
  for i = 1, #runs, 2 do
    if redis.call('BITFIELD', bitmap_key, 'GET', 'u' .. runs[i + 1], runs[i])[1] ~= 2 ^ runs[i + 1] - 1 then
      return false
    end
  end
  return true
end

-- Put seats into a bitmap under an owner number, or with owner 0 take them out of it.
function seat_map.set(bitmap_key, owners_key, seats, owner)
  local runs = seat_map.runs(seats)
  seat_map.mark(bitmap_key, runs, owner == 0 and 0 or 1)
  seat_map.give(owners_key, runs, owner)
end

-- What becomes of a hold's seats, and which are new and gone: three ascending lists.
function seat_map.difference(seats, add, remove)
  local was, goes, kept, added, removed = {}, {}, {}, {}, {}
  for _, seat in ipairs(seats) do
    was[seat] = true
  end
  for _, seat in ipairs(remove) do
    goes[seat] = true
  end
  for _, seat in ipairs(seats) do
    table.insert(goes[seat] and removed or kept, seat)
  end
  for _, seat in ipairs(add) do
    if not was[seat] and not goes[seat] then
      table.insert(added, seat)
      table.insert(kept, seat)
    end
  end
  table.sort(kept)
  return kept, added, removed
end

return seat_map
