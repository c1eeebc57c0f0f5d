// Messages of JSON on a connection, each with its length in front, as long as ranks only talk. Not a byte more is taken
// off the connection than the message that is asked for: what follows may be of another protocol.

import type { Socket } from 'node:net';

/** Nothing that ranks tell each other is longer; what claims to be is no message. */
const LONGEST = 2 ** 20;

export function send(socket: Socket, message: unknown): void {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  socket.write(Buffer.concat([head, body]));
}

/**
 * The next message; undefined where the connection ended before it. Throws where what comes is no message, or nothing
 * comes in the time given, in milliseconds.
 */
export async function receive(socket: Socket, within?: number): Promise<unknown> {
  let length: number | undefined;
  return await new Promise((done, fail) => {
    const timer =
      within === undefined ? undefined : setTimeout(() => settle(() => fail(new Error('nothing was said'))), within);
    const settle = (how: () => void) => {
      clearTimeout(timer);
      socket.off('readable', look);
      socket.off('end', ended);
      socket.off('close', ended);
      how();
    };
    const ended = () => settle(() => done(undefined));
    const look = () => {
      if (length === undefined) {
        const head = socket.read(4) as Buffer | null;
        if (head === null) return;
        length = head.length === 4 ? head.readUInt32BE() : LONGEST + 1;
        if (length > LONGEST) return settle(() => fail(new Error('that is no message')));
      }
      const body = length === 0 ? Buffer.alloc(0) : (socket.read(length) as Buffer | null);
      if (body === null) return;
      try {
        const message: unknown = JSON.parse(body.toString());
        settle(() => done(message));
      } catch {
        settle(() => fail(new Error('that is no message')));
      }
    };
    if (socket.destroyed || socket.readableEnded) return ended();
    socket.on('readable', look);
    socket.once('end', ended);
    socket.once('close', ended);
    look();
  });
}
