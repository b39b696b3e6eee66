-- What a loader brings must fit together before anything of it is installed.
-- include: seat_map
local load_check = {}

local function bit_of(bytes, seat)
  local byte = string.byte(bytes, math.floor(seat / 8) + 1) or 0
  return math.floor(byte / 2 ^ (7 - seat % 8)) % 2
end

-- Give the blocked seats, ascending. Raises if the bitmaps overlap, do not match the owners or the ledger's count,
-- or are not of the showtime's size.
function load_check.blocked_seats(sold, blocked, owners, seats, sold_count)
  local bytes_min, bytes_max = math.ceil(seats / 8), seat_map.map_bytes(seats)
  assert(#owners == 4 * seats, 'owners must have 4 bytes per seat')
  assert(#sold >= bytes_min and #sold <= bytes_max, 'the sold bitmap is not of the size of the showtime')
  assert(#blocked >= bytes_min and #blocked <= bytes_max, 'the blocked bitmap is not of the size of the showtime')
  local found, count = {}, 0
  for seat = 0, seats - 1 do
    local is_sold, is_blocked = bit_of(sold, seat), bit_of(blocked, seat)
    local owned = string.sub(owners, 4 * seat + 1, 4 * seat + 4) ~= '\0\0\0\0'
    assert(is_sold + is_blocked < 2, 'a seat is sold and blocked')
    assert(owned == (is_sold == 1), 'owners and the sold bitmap differ')
    count = count + is_sold
    if is_blocked == 1 then
      found[#found + 1] = seat
    end
  end
  assert(count == sold_count, 'the sold bitmap has another number of seats than the ledger')
  return found
end

-- The string `seats` of what was checked, without its sentinels and without the blocked seats' cells.
function load_check.joined(sold, blocked, owners, seats)
  local bytes = seat_map.map_bytes(seats)
  local function whole(bitmap)
    return bitmap .. string.rep('\0', bytes - #bitmap)
  end
  return whole(sold) .. whole('') .. whole(blocked) .. owners
end

return load_check
