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

-- What the three bitmaps say of each of the runs' seats, in their order: {sold, locked, blocked}, each 0 or 1.
function seat_look.marks(seats_key, seats_count, runs)
  local marks = {}
  for i = 1, #runs, 2 do
    local bits = seat_map.bits(seats_key, seats_count, runs[i], runs[i + 1])
    for place = runs[i + 1] - 1, 0, -1 do
      local mark = {}
      for map = 1, formats.MAPS do
        mark[map] = math.floor(bits[map] / 2 ^ place) % 2
      end
      marks[#marks + 1] = mark
    end
  end
  return marks
end

-- Those of the seats whose bit is set.
function seat_look.marked(seats_key, seats_count, map, seats)
  local marked = {}
  for i, mark in ipairs(seat_look.marks(seats_key, seats_count, seat_look.runs(seats))) do
    if mark[map + 1] == 1 then
      table.insert(marked, seats[i])
    end
  end
  return marked
end

return seat_look
