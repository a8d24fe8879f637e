-- The portal's decisions for nginx's Lua module, as deploy/nginx-gateway-lua.conf uses them.
--
-- For each API and key there is one text, in memory that all workers share. Its lines: until when
-- it is new, the decision's status, and the fields that go with it. After that one call asks
-- again, and meanwhile the others go by what they have, so nobody waits and the portal is asked
-- once. It is never kept longer than both times together.
local NEW_SECONDS = 1
local ASKING_SECONDS = 0.25

local kept = ngx.shared.portal_decisions
local find, sub, format, concat = string.find, string.sub, string.format, table.concat
local now, var = ngx.now, ngx.var

local M = {}

-- Of an API and a key together: by the key alone, one API's yes would open another one. No field
-- of a call holds a line's end.
local function key_of_call()
  return concat({ var.portal_api, var.http_apikey or "", var.http_authorization or "" }, "\n")
end

local function line(text, from)
  local to = find(text, "\n", from, true)
  return sub(text, from, to - 1), to + 1
end

-- Says what the call's variables are by a decision; returns its status, or SANDBOX where a sandbox
-- key may call.
local function go_by(text)
  local at, status, kind
  at = find(text, "\n", 1, true) + 1
  status, at = line(text, at)
  var.portal_subscription, at = line(text, at)
  kind, at = line(text, at)
  var.portal_key_type = kind
  var.portal_limit, at = line(text, at)
  var.portal_policy, at = line(text, at)
  var.portal_refusal, at = line(text, at)
  var.portal_retry = line(text, at)
  if status == "200" and kind == "SANDBOX" then
    return kind
  end
  return status
end

local function ask(key)
  local answer = ngx.location.capture("/_portal_decision", { share_all_vars = true })
  local status = answer.status
  if status ~= 200 and status ~= 401 and status ~= 403 then
    return "500"
  end
  local fields = answer.header
  local text = concat({
    format("%.3f", now() + NEW_SECONDS),
    status,
    fields["X-Subscription"] or "",
    fields["X-Key-Type"] or "",
    fields["RateLimit"] or "",
    fields["RateLimit-Policy"] or "",
    fields["X-Refusal"] or "",
    fields["Retry-After"] or "",
    "",
  }, "\n")
  kept:set(key, text, NEW_SECONDS + ASKING_SECONDS)
  return go_by(text)
end

-- Returns the status of the decision that is kept for a call; nothing if this call has to ask.
function M.known()
  local key = key_of_call()
  local text = kept:get(key)
  if not text then
    return ""
  end
  if now() >= tonumber((line(text, 1))) and kept:add(key .. "\n?", true, ASKING_SECONDS) then
    return ""
  end
  return go_by(text)
end

-- Asks, if nothing is known, and refuses the call if it may not go through. With a sandbox key it
-- goes to the API's sandbox.
function M.decide()
  local status = var.portal_known
  if status == "" then
    status = ask(key_of_call())
  end
  if status == "401" or status == "403" then
    return ngx.exec("@portal_refused")
  elseif status == "SANDBOX" then
    return ngx.exec("@portal_sandbox" .. var.portal_api)
  elseif status ~= "200" then
    return ngx.exec("@portal_away")
  end
end

return M
