-- The UUID text of a hold's id; engine/seats/ids.py draws the same bits.
local hold_id = {}

function hold_id.text(claimed_at_ms, owner, showtime_number)
  local low = 2 ^ 31 + (owner % 2 ^ 20) * 2 ^ 10
  return string.format('%08x-%04x-7%03x-%04x-%04x%08x',
    math.floor(claimed_at_ms / 2 ^ 16), claimed_at_ms % 2 ^ 16, math.floor(owner / 2 ^ 20),
    math.floor(low / 2 ^ 16), low % 2 ^ 16, showtime_number)
end

return hold_id
