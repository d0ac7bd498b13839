import { serverClock } from './reserve-script.ts';

/**
 * Boosts a subject until the server's clock says that it is over. KEYS: the boost. ARGV: percent, and milliseconds until
 * the end. A boost is: format (1 byte), percent, end in microseconds; little-endian doubles.
 */
export const boostScript = `${serverClock}
local value = struct.pack('<Bdd', 1, tonumber(ARGV[1]), now + tonumber(ARGV[2]) * 1000)
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
return 1
`;

/** KEYS: what a subject is to be freed of. */
export const forgetScript = `return redis.call('UNLINK', unpack(KEYS))`;
