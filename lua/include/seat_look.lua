-- Looking at seats that are not simply free.
-- include: formats
-- include: seat_map
local seat_look = {}

-- Owner numbers in the order of the runs' seats; nil if the map is damaged.
function seat_look.owners(seats_key, seats_count, runs)
  local owners = {}
  for i = 1, #runs, 2 do
    local cells = seat_map.cells(seats_key, seats_count, runs[i], runs[i + 1])
    if type(cells) ~= 'string' or #cells ~= 4 * runs[i + 1] then
      return nil
    end
    for j = 1, #cells, 4 do
      owners[#owners + 1] = struct.unpack(formats.OWNER, cells, j)
    end
  end
  return owners
end

-- The runs of seats that are known to be distinct, in range and ascending.
function seat_look.runs(seats)
  local _, runs = seat_map.read(seats, 1, #seats, math.huge)
  return runs
end

-- Whether a seat's bit is set, as 0 or 1.
function seat_look.bit(seats_key, seats_count, map, seat)
  return redis.call('GETBIT', seats_key, seat_map.bit(map, seats_count, seat))
end

-- Those of the seats whose bit is set.
function seat_look.marked(seats_key, seats_count, map, seats)
  local marked = {}
  for _, seat in ipairs(seats) do
    if seat_look.bit(seats_key, seats_count, map, seat) == 1 then
      table.insert(marked, seat)
    end
  end
  return marked
end

return seat_look
