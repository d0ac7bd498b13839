import { serverClock } from './reserve-script.ts';

/**
 * Slots of one subject: a sorted set of slot names by the end of their leases, in microseconds of server time. The end of
 * the lease is also what tells one attempt to take a slot from the next, since a later one has a later end.
 */

export const takeStatus = { taken: 1, refused: 0, late: -1 } as const;

/**
 * KEYS: the set. ARGV: not-after (microseconds of server time), the lease (microseconds), the slots at once (-1: any
 * number), the slot's name. Reply: status, server time, end of the lease (as text: beyond what Lua's own formatting
 * keeps), slots that are taken now.
 *
 * A name that is taken already is taken again by this attempt. A clock that was set back leaves leases that end too late:
 * they are cut to a lease from now.
 */
export function createTakeScript(clock: string = serverClock): string {
  return `${clock}
if now > tonumber(ARGV[1]) then return {-1, now, '0', 0} end
local key, name, lease, limit = KEYS[1], ARGV[4], tonumber(ARGV[2]), tonumber(ARGV[3])
local function text(number) return string.format('%.0f', number) end
local ends = now + lease
redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
for _, late in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. text(ends), '+inf')) do
  redis.call('ZADD', key, text(ends), late)
end
local held = redis.call('ZSCORE', key, name)
local open = redis.call('ZCARD', key)
if not held and limit >= 0 and open >= limit then return {0, now, '0', open} end
-- Two attempts within one microsecond are two attempts all the same.
if held and tonumber(held) >= ends then ends = tonumber(held) + 1 end
redis.call('ZADD', key, text(ends), name)
redis.call('PEXPIRE', key, math.ceil(lease / 1000) + 2000)
return {1, now, text(ends), held and open or open + 1}
`;
}

export const takeScript = createTakeScript();

/** KEYS: the set. ARGV: the slot's name, and the end of the lease if only that attempt's is meant. Reply: 1 or 0. */
export const releaseScript = `
if ARGV[2] and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
`;

/** KEYS: the set. Reply: slots that are taken now. Changes nothing. */
export const countScript = `${serverClock}
return #redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
`;
