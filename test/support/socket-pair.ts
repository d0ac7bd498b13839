import { Duplex } from 'node:stream';

/**
 * Two ends of a connection in memory. As with a socket, what was written is the writer's memory again once it is taken, and a
 * side that does not read holds up the other. The mark of Node's own sockets differs between its versions.
 */
export function createSocketPair(writableHighWaterMark?: number): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const waiting: (() => void)[] = [() => undefined, () => undefined];
  const createEnd = (own: number, other: number) =>
    new Duplex({
      ...(writableHighWaterMark !== undefined && { writableHighWaterMark }),
      read() {
        const proceed = waiting[other];
        waiting[other] = () => undefined;
        proceed?.();
      },
      write(bytes: Buffer, _encoding, done) {
        if (ends[other]?.destroyed !== false || ends[other].push(Buffer.from(bytes))) done();
        else waiting[own] = done;
      },
      final(done) {
        ends[other]?.push(null);
        done();
      },
      destroy(error, done) {
        process.nextTick(() => ends[other]?.destroy());
        done(error);
      },
    });
  ends.push(createEnd(0, 1), createEnd(1, 0));
  return ends as unknown as readonly [Duplex, Duplex];
}
