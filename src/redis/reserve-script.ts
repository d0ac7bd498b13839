import { maxAheadUs } from '../check/window.ts';

/**
 * The slotted window of src/check/window.ts as one Lua script: all windows of a claim in one round trip, all
 * charged or none, in the server's time. Lua 5.1 with the `struct` library, as in Redis 7.
 *
 * KEYS: the claim's record, if it has one, then its windows, then the subject's boost (src/redis/boost-script.ts), if it
 * may have one; all with the same hash tag of 22 characters.
 * ARGV: not-after (microseconds of server time; a claim that runs later charges nothing), the record's time
 * to live (ms; 0: the claim has no record), its header (empty: no reservation), then for each window its length (microseconds), the units asked
 * for (0 looks only) and the limit (-1: counts, never denies; -1 - limit: a shadow limit, see Demand); at the end,
 * if it is to be charged ahead, by how much (microseconds; see claimWindows).
 *
 * Reply: status, server time (microseconds), microseconds until the claim fits (-1: never) or, once it was
 * charged, those that it was charged ahead, then for each
 * window its total and the microseconds until nothing counts any more; then, if the subject is boosted, by how many
 * percent of each limit, and the microseconds until that ends.
 *
 * A window is one string: format (1 byte), epoch, total, newest stamp, units of the newest slot, then stamp
 * and units of each older slot, oldest first; little-endian doubles, exact for whole numbers below 2^53 where
 * Lua's own number formatting keeps 14 digits. A record is: format (1 byte), the header with its length (1 byte), then for
 * each charged window the length of its name, epoch, slot number, units, and the name (its key without the hash tag): all
 * that a later settlement needs, none of which says who. The header is empty or, of a reservation, text: what a token costs,
 * and the hash tags of the other records of the same name; and windows are in it that were charged nothing yet. Its format is 1, and 4 once the claim came again: then two rely on it,
 * and neither can take it back. Of a settled claim no more is left than the header and a format: 2, or 3 where it was taken back. That
 * one is denied when it comes again: it was, by whoever took it back.
 *
 * An epoch that begins is kept also where nothing is charged: one that begins anew with each denial would
 * never end.
 *
 * The key of a window lives until its newest stamp is a window and 2 s old, so it is set anew with each
 * charge. (Set only when a slot opens, it would lose what came later in a slot of more than 2 s.)
 *
 * A value that is no window charges nothing and says so. It gets an end, if it has none: by then everything
 * that it may have counted is a window old, and an empty window is the truth again.
 */
export const reserveStatus = {
  admitted: 1,
  repeated: 2,
  /** Admitted; the windows of shadow limits were not charged. */
  leftOut: 3,
  denied: 0,
  late: -1,
  malformed: -2,
} as const;

/** Lua that sets `now`, in microseconds. */
export const serverClock = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]`;

/** `clock` is Lua that sets \`now\`: for tests only, where time must be a number of the test's choice. */
export function createReserveScript(clock: string = serverClock): string {
  return `${clock}
if now > tonumber(ARGV[1]) then return {-1, now, 0} end
local pack, unpackStruct, floor, ceil, sub = struct.pack, struct.unpack, math.floor, math.ceil, string.sub
local recordTtl = ARGV[2]
local first = recordTtl == '0' and 0 or 1
local header = ARGV[3]
local count = floor((#ARGV - 3) / 3)
local stored = redis.call('MGET', unpack(KEYS))
local repeated = first == 1 and stored[1]
local format = repeated and string.byte(repeated)
local takenBack = format == 3
if takenBack then repeated = false end
if format == 1 then redis.call('SETRANGE', KEYS[1], 0, string.char(4)) end
local boost, percent, boostEnds = #KEYS > first + count and stored[#KEYS], 100, 0
if boost and #boost == 17 then
  local _, boostPercent, ends = unpackStruct('<Bdd', boost)
  if ends > now then percent, boostEnds = boostPercent, ends end
end

-- Of each window as it stands now; froms: where in the stored value its live older slots begin.
local lengths, epochs, totals, stamps, newests, froms = {}, {}, {}, {}, {}, {}
local begun
local denied, leftOut, fits = takenBack, false, 0
for i = 1, count do
  local length, units, limit = tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
  local key, value = KEYS[i + first], stored[i + first]
  local epoch, total, stamp, newest, size, from = now, 0, now, 0, 0, 34
  local isWindow = true
  if value then
    size = #value
    local kind
    if size >= 33 and size <= 353 and (size - 33) % 16 == 0 then
      kind, epoch, total, stamp, newest = unpackStruct('<Bdddd', value)
    end
    isWindow = kind == 1 and epoch >= 0 and stamp >= 0 and newest >= 0 and total >= newest
  else
    isWindow = redis.call('EXISTS', key) == 0
  end
  if not isWindow then
    local ends = ceil(length / 1000) + 2000
    local left = redis.call('PTTL', key)
    if left < 0 or left > ends then redis.call('PEXPIRE', key, ends) end
    return {-2, now, 0}
  end
  if now + length < stamp then
    epoch, stamp = math.max(now, epoch + 1), now + math.min(${maxAheadUs}, floor(length / 20))
    newest, from = total, size + 1
    begun = begun or {}
    begun[i] = true
  elseif stamp + length <= now then
    total, stamp, newest, from = 0, now, 0, size + 1
  else
    while from < size do
      local slotStamp, slotUnits = unpackStruct('<dd', value, from)
      if slotStamp + length > now then break end
      total = total - slotUnits
      from = from + 16
    end
  end
  local shadow = limit < -1
  if shadow then limit = -1 - limit end
  if percent ~= 100 and limit >= 0 then limit = floor(limit * percent / 100) end
  if units > 0 and limit >= 0 and total + units > limit then
    if shadow then leftOut = true else denied = true end
    if units > limit and not shadow then
      fits = -1
    elseif fits >= 0 and not shadow then
      local excess, at, slot = total + units - limit, stamp + length, from
      while slot < size do
        local slotStamp, slotUnits = unpackStruct('<dd', value, slot)
        excess = excess - slotUnits
        if excess <= 0 then
          at = slotStamp + length
          break
        end
        slot = slot + 16
      end
      if at - now > fits then fits = at - now end
    end
  end
  lengths[i], epochs[i], totals[i], stamps[i], newests[i], froms[i] = length, epoch, total, stamp, newest, from
end

if takenBack then fits = 0 end
local status = repeated and 2 or (denied and 0 or (leftOut and 3 or 1))
local charging = status == 1 or status == 3
-- As of when it is charged.
local at, ahead = now, tonumber(ARGV[3 * count + 4])
if ahead and charging then
  at = now + math.min(ahead, ${maxAheadUs})
  for i = 1, count do
    local slotLength = lengths[i] / 20
    at = math.min(at, ceil((floor(math.max(now, stamps[i]) / slotLength) + 1) * slotLength) - 1)
  end
  fits = at - now
end
local reply = {status, now, fits}
local record = charging and first == 1 and pack('<BB', 1, #header) .. header
for i = 1, count do
  local length, total, stamp = lengths[i], totals[i], stamps[i]
  local units, slot = charging and tonumber(ARGV[3 * i + 2]) or 0, 0
  local isLeftOut = status == 3 and tonumber(ARGV[3 * i + 3]) < -1
  if isLeftOut then units = 0 end
  if units > 0 or (begun and begun[i]) then
    local key, value, newest, slotLength = KEYS[i + first], stored[i + first], newests[i], length / 20
    local tail = value and sub(value, froms[i]) or ''
    slot = floor(stamp / slotLength)
    if units > 0 and at > stamp then
      local current = floor(at / slotLength)
      if current ~= slot and newest > 0 then
        tail = tail .. pack('<dd', stamp, newest)
        newest = 0
      end
      slot, stamp = current, at
    end
    total = total + units
    value = pack('<Bdddd', 1, epochs[i], total, stamp, newest + units) .. tail
    redis.call('SET', key, value, 'PX', ceil((stamp - now + length) / 1000) + 2000)
  end
  if record and (units > 0 or header ~= '') and not isLeftOut then
    local name = sub(KEYS[i + first], 31)
    record = record .. pack('<Hddd', #name, epochs[i], slot, units) .. name
  end
  reply[2 * i + 2], reply[2 * i + 3] = total, total == 0 and 0 or stamp + length - now
end
if percent ~= 100 then reply[2 * count + 4], reply[2 * count + 5] = percent, boostEnds - now end
if record then redis.call('SET', KEYS[1], record, 'PX', recordTtl) end
return reply
`;
}

export const reserveScript = createReserveScript();
