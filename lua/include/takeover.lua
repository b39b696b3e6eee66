-- Judging seats that somebody has: lapsed holds among their owners are gone for the next claim, all others refuse.
-- include: formats
-- include: seat_look
-- include: holds
-- include: end_hold
local takeover = {}

local function refuse(list, ...)
  for _, value in ipairs({...}) do
    table.insert(list, value)
  end
end

-- Judge seats for `subject` ('' is nobody's). Gives nil if the keys contradict each other, else a table:
--   taken    {seat, reason, deadline_ms, owner, claimed_at_ms, ...} flat; owner and claim only of the subject's own
--   kept     the same of seats that are sold or blocked only: nobody can be evicted from them
--   lapsed   holds to end before the seats are given
--   live     live holds met, each once
--   capped   those of them whose stored deadline must be rewritten
function takeover.judge(keys, meta, seats, subject, now_ms)
  local runs = seat_look.runs(seats)
  local owners = seat_look.owners(keys.seats, meta.seats, runs)
  if not owners then
    return nil
  end
  local verdict = {taken = {}, kept = {}, lapsed = {}, live = {}, capped = {}}
  local marks = seat_look.marks(keys.seats, meta.seats, runs)
  local met = {}
  for i, seat in ipairs(seats) do
    local owner = owners[i]
    local sold, locked, blocked = unpack(marks[i])
    if sold + locked + blocked ~= (owner == 0 and 0 or 1) or (blocked == 1) ~= (owner == formats.BLOCKED) then
      return nil
    end
    if sold == 1 then
      refuse(verdict.taken, seat, 'SOLD', 0, 0, 0)
      refuse(verdict.kept, seat, 'SOLD', 0, 0, 0)
    elseif blocked == 1 then
      refuse(verdict.taken, seat, 'BLOCKED', 0, 0, 0)
      refuse(verdict.kept, seat, 'BLOCKED', 0, 0, 0)
    elseif locked == 1 then
      local hold = met[owner] or holds.read(keys, owner, meta.policy, now_ms)
      if not hold or not (met[owner] or end_hold.sound(keys, meta, hold)) then
        return nil
      end
      if not met[owner] then
        met[owner] = hold
        table.insert(hold.lapsed and verdict.lapsed or verdict.live, hold)
        if hold.capped then
          table.insert(verdict.capped, hold)
        end
      end
      if not hold.lapsed and hold.subject == subject then
        refuse(verdict.taken, seat, 'LOCKED_BY_ME', hold.deadline_ms, owner, hold.claimed_at_ms)
      elseif not hold.lapsed then
        refuse(verdict.taken, seat, 'LOCKED', hold.deadline_ms, 0, 0)
      end
    end
  end
  return verdict
end

-- The refusal made of a flat list of taken seats.
function takeover.refusal(taken, now_ms)
  local refusal = {'seats_taken', now_ms}
  for i = 1, #taken do
    refusal[i + 2] = taken[i]
  end
  return refusal
end

return takeover
