-- The first questions to every call of a writer: is it late, was it done before, does the showtime take writes.
-- include: request
-- include: showtime
local entry = {}

-- Gives meta, or nil and the answer.
function entry.writer(meta_key, request_key, generation, not_after_ms, request_text, now_ms)
  if now_ms > tonumber(not_after_ms) then
    return nil, {'too_late', now_ms}
  end
  local replay = request.recall(request_key, request_text, now_ms)
  if replay then
    return nil, replay
  end
  return showtime.enter(meta_key, generation, now_ms)
end

return entry
