/**
 * For `node --import`: says on standard error when the process listens or connects anywhere, so that a test can
 * tell that it did neither.
 */
import { Server, Socket } from 'node:net';

for (const [prototype, method] of [
  [Server.prototype, 'listen'],
  [Socket.prototype, 'connect'],
]) {
  const original = prototype[method];
  prototype[method] = function spied(...args) {
    process.stderr.write(`[spy] ${method}\n`);
    return original.apply(this, args);
  };
}
