-- Who has which seat: a cell of 4 bytes per seat in `owners`, and the bitmaps sold, locked, blocked beside it.
-- A cell of 0 is nobody, so one look at the cells proves that seats are free. Seats come as runs (see seat_list).
local seat_map = {}

local RUNS_PER_CALL = 500

-- What a blocked seat has for an owner.
seat_map.BLOCKED = 4294967295

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

-- Put seats into a bitmap under an owner number, or with owner 0 take them out of it.
function seat_map.set(bitmap_key, owners_key, runs, owner)
  local cell = struct.pack('>I4', owner)
  for from = 1, #runs, 2 * RUNS_PER_CALL do
    local ops, n = {}, 0
    for i = from, math.min(from + 2 * RUNS_PER_CALL, #runs + 1) - 1, 2 do
      local first, count = runs[i], runs[i + 1]
      ops[n + 1], ops[n + 2], ops[n + 3], ops[n + 4] = 'SET', 'u' .. count, first, owner == 0 and 0 or 2 ^ count - 1
      n = n + 4
      redis.call('SETRANGE', owners_key, 4 * first, string.rep(cell, count))
    end
    redis.call('BITFIELD', bitmap_key, unpack(ops))
  end
end

return seat_map
