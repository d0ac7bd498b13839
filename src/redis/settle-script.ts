import { mostUnits } from '../check/reservation.ts';
import { maxAheadUs } from '../check/window.ts';
import { serverClock } from './reserve-script.ts';

/**
 * The settlement of a charged claim (settledWindow of src/check/window.ts) as one Lua script. It finds the windows by the
 * claim's record, which names them; they share its hash tag, and so its server.
 *
 * KEYS: the record. ARGV: not-after (microseconds of server time), the format that the record is to have from now on (2:
 * settled, 3: taken back) and how long that is remembered (ms); then units used of requests, and of tokens, input tokens and
 * output tokens before their weight, -1 where all that was charged stays.
 *
 * A claim that came again is not taken back, since somebody else relies on it.
 *
 * Reply: status, server time (microseconds), the record's header (src/redis/reserve-script.ts), also of one that is settled
 * already: whoever was to settle the others may not have got so far. A stored value that is no window is left alone: the next claim deals with it.
 */
export const settleStatus = { settled: 1, unknown: 0, late: -1 } as const;

/** `clock` is Lua that sets \`now\`: for tests only. */
export function createSettleScript(clock: string = serverClock): string {
  return `${clock}
if now > tonumber(ARGV[1]) then return {-1, now} end
local record = redis.call('GET', KEYS[1])
local format, headerLength = 0, 0
if record then format, headerLength = string.byte(record, 1, 2) end
local header = record and string.sub(record, 3, 2 + headerLength) or ''
if format ~= 1 and (format ~= 4 or ARGV[2] == '3') then return {0, now, header} end
local pack, unpackStruct, floor, ceil, sub = struct.pack, struct.unpack, math.floor, math.ceil, string.sub
local weight = tonumber(string.match(header, '^%d+') or 1)
local function weighed(units) return math.min(tonumber(units) * weight, ${mostUnits}) end
local usedOf = {
  requests = tonumber(ARGV[4]),
  tokens = weighed(ARGV[5]),
  inputTokens = weighed(ARGV[6]),
  outputTokens = weighed(ARGV[7]),
}
redis.call('SET', KEYS[1], pack('<BB', ARGV[2], headerLength) .. header, 'PX', ARGV[3])

local function settle(name, chargedEpoch, chargedSlot, charged)
  local unit, windowMs = string.match(name, ':(%a+):(%d+)$')
  local used = usedOf[unit]
  if not used or used < 0 or used == charged then return end
  local key, length = sub(KEYS[1], 1, 27) .. ':w:' .. name, tonumber(windowMs) * 1000
  local value = redis.call('GET', key)
  local epoch, total, stamp, newest, tail = now, 0, now, 0, ''
  if value then
    local size = #value
    if size < 33 or size > 353 or (size - 33) % 16 ~= 0 or string.byte(value) ~= 1 then return end
    local _
    _, epoch, total, stamp, newest = unpackStruct('<Bdddd', value)
    if now + length < stamp then
      epoch, newest = math.max(now, epoch + 1), total
      stamp = now + math.min(${maxAheadUs}, floor(length / 20))
    elseif stamp + length <= now then
      total, stamp, newest = 0, now, 0
    else
      local from = 34
      while from < size do
        local slotStamp, slotUnits = unpackStruct('<dd', value, from)
        if slotStamp + length > now then break end
        total = total - slotUnits
        from = from + 16
      end
      tail = sub(value, from)
    end
  end
  local slotLength = length / 20
  if used > charged then
    local more, slot = used - charged, floor(stamp / slotLength)
    if now > stamp then
      if floor(now / slotLength) ~= slot and newest > 0 then
        tail = tail .. pack('<dd', stamp, newest)
        newest = 0
      end
      stamp = now
    end
    total, newest = total + more, newest + more
  else
    local back = charged - used
    if epoch ~= chargedEpoch then return end
    if floor(stamp / slotLength) == chargedSlot then
      back = math.min(back, newest)
      newest = newest - back
    else
      local at, found = 1, false
      while at < #tail and not found do
        local slotStamp, slotUnits = unpackStruct('<dd', tail, at)
        if floor(slotStamp / slotLength) == chargedSlot then
          found = true
          back = math.min(back, slotUnits)
          local left = slotUnits > back and pack('<dd', slotStamp, slotUnits - back) or ''
          tail = sub(tail, 1, at - 1) .. left .. sub(tail, at + 16)
        end
        at = at + 16
      end
      if not found then return end
    end
    total = total - back
  end
  value = pack('<Bdddd', 1, epoch, total, stamp, newest) .. tail
  redis.call('SET', key, value, 'PX', ceil((stamp - now + length) / 1000) + 2000)
end

local at, size = 3 + headerLength, #record
while at + 25 < size do
  local nameLength, epoch, slot, units = unpackStruct('<Hddd', record, at)
  settle(sub(record, at + 26, at + 25 + nameLength), epoch, slot, units)
  at = at + 26 + nameLength
end
return {1, now, header}
`;
}

export const settleScript = createSettleScript();
