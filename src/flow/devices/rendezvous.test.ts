// Ranks that meet, in one process: in any order, late, twice, unlike, never; and strangers at the port.

import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../test/ports.ts';
import { type Hello, program } from './hello.ts';
import { receive, send } from './messages.ts';
import { join, Meeting } from './rendezvous.ts';

const hello = (rank: number, more: Partial<Hello> = {}): Hello => ({
  ...program,
  ...{ ranks: 3, rank, localRank: rank, host: `host${rank}`, pid: 100 + rank },
  ...{
    device: { name: 'cuda', model: 'NVIDIA H100, 9.0', description: 'GPU', memoryBytes: 80 * 2 ** 30 },
    words: ['run', '--bits', '8'],
  },
  ...more,
});

const opened: { close?: () => void; destroy?: () => void }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) (one.close ?? one.destroy)?.call(one);
});

async function meet(): Promise<Meeting> {
  const meeting = await Meeting.open({ own: hello(0), host: '127.0.0.1', port: 0, token: 'secret' });
  opened.push(meeting);
  return meeting;
}

const come = async (port: number, own: Hello, token = 'secret', seconds = 2) => {
  const joined = await join({ own, host: '127.0.0.1', port, token, seconds });
  opened.push(joined.socket);
  return joined;
};

const reason = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'nothing failed',
    (error: Error) => error.message,
  );

describe('a meeting of ranks', () => {
  it('gives rank 0 all others in their order, and each what is meant for it', async () => {
    const meeting = await meet();
    const others = [come(meeting.port, hello(2)), come(meeting.port, hello(1))];
    const members = await meeting.all(2);
    expect(members.map(({ hello: { rank } }) => rank)).toEqual([1, 2]);
    meeting.welcome({ id: 'abc' });
    for (const { socket } of members) opened.push(socket);
    // What follows the welcome at once is the next protocol's, to the byte.
    for (const { socket } of members) socket.write(Uint8Array.of(7, 8, 9));
    for (const other of others) {
      const { welcome, leader, socket } = await other;
      expect([welcome, leader.host]).toEqual([{ id: 'abc' }, 'host0']);
      const bytes = await new Promise<Buffer>((done) => socket.once('data', done));
      expect([...bytes]).toEqual([7, 8, 9]);
    }
  });

  it('waits for a rank that comes before rank 0 listens, and for one that comes again', async () => {
    const port = await freePort();
    const early = come(port, hello(1));
    await pause(150);
    const meeting = await Meeting.open({ own: hello(0), host: '127.0.0.1', port, token: 'secret' });
    opened.push(meeting);
    const all = meeting.all(3);
    const first = connect(port, '127.0.0.1');
    await receive(first);
    send(first, { token: 'secret', hello: hello(2) });
    await pause(50);
    first.destroy();
    await pause(50);
    const again = come(port, hello(2));
    expect((await all).length).toBe(2);
    meeting.welcome(null);
    for (const one of [early, again]) expect((await one).welcome).toBe(null);
  });

  it.each<[string, Partial<Hello>, RegExp]>([
    [
      'version',
      { version: '9.9.9' },
      /version of the program is 9\.9\.9, that of rank 0 on host0 is .*install the same/,
    ],
    ['number of ranks', { ranks: 4 }, /number of ranks is 4, that of rank 0 on host0 is 3/],
    ['rank', { rank: 3 }, /ranks are expected from 1 to 2/],
    ['rank 0', { rank: 0 }, /ranks are expected from 1 to 2/],
    ['option', { words: ['run', '--bits=4'] }, /its --bits says '4', that of rank 0 '8'/],
    ['missing option', { words: ['run'] }, /its --bits says nothing of it, that of rank 0 '8'/],
    ['command', { words: ['train', '--bits', '8'] }, /its command says 'train', that of rank 0 'run'/],
    ['precision', { precision: 'bf16' }, /its --precision is bf16, that of rank 0 on host0 is undefined/],
    [
      'device',
      { device: { name: 'cuda', model: 'NVIDIA A100, 8.0', description: 'GPU', memoryBytes: 1 } },
      /its device is NVIDIA A100, 8\.0, that of rank 0 is NVIDIA H100, 9\.0: .*use devices of one kind/,
    ],
  ])('is over where the %s differs, with the same words on all sides', async (_, more, message) => {
    const meeting = await meet();
    const good = reason(come(meeting.port, hello(1)));
    const all = reason(meeting.all(2));
    await pause(50);
    const bad = await reason(come(meeting.port, hello(2, more)));
    expect(bad).toMatch(message);
    const said = await all;
    expect(said).toMatch(message);
    expect(said).toMatch(/^rank \d on host2 .*\(process 102\) does not fit: /);
    // One that waits and would fit learns it too.
    expect(await good).toContain(said);
  });

  it('takes options in another order, and such as only print less', async () => {
    const meeting = await meet();
    const same = ['--quiet', 'run', '--bits', '8', '--json'];
    const others = [1, 2].map((rank) => come(meeting.port, hello(rank, { words: same })));
    expect((await meeting.all(2)).length).toBe(2);
    meeting.welcome(null);
    await Promise.all(others);
  });

  it('tells of less memory, which fits', async () => {
    const meeting = await meet();
    const device = { ...hello(1).device!, memoryBytes: 40 * 2 ** 30 };
    const others = [come(meeting.port, hello(1, { device })), come(meeting.port, hello(2))];
    await meeting.all(2);
    expect(meeting.notes).toEqual([
      'rank 1 on host1 (NVIDIA H100, 9.0) has 40.0 GiB of memory, rank 0 has 80.0 GiB; the smaller one decides what fits',
    ]);
    meeting.welcome(null);
    await Promise.all(others);
  });

  it('is over where a rank comes twice', async () => {
    const meeting = await meet();
    const all = reason(meeting.all(2));
    const first = reason(come(meeting.port, hello(1)));
    await pause(50);
    const second = await reason(come(meeting.port, hello(1, { host: 'twin', pid: 7 })));
    const message = /rank 1 on twin .*has come already, from host1 \(process 101\); start each rank once/;
    for (const text of [second, await all, await first]) expect(text).toMatch(message);
  });

  it('names the ranks that did not come, on all sides', async () => {
    const meeting = await meet();
    const one = reason(come(meeting.port, hello(1)));
    const said = await reason(meeting.all(0.3));
    expect(said).toMatch(/^rank 2 of 3 did not come to rank 0 on host0, port \d+, within 0\.3 s \(2 here\)/);
    expect(await one).toContain(said);
    expect(await reason(come(meeting.port, hello(2), 'secret', 0.3))).toMatch(
      /rank 2 did not meet rank 0 at 127\.0\.0\.1:\d+ within 0\.3 s \(.*ECONNREFUSED/,
    );
  });

  it('is not disturbed by strangers, and takes nobody without the token', async () => {
    const meeting = await meet();
    const all = meeting.all(2);
    const strangers = ['GET / HTTP/1.1\r\n\r\n', '\0\0\0\u0002{}', '', '\u00ff'.repeat(40)].map((text) => {
      const socket = connect(meeting.port, '127.0.0.1', () => socket.write(text));
      opened.push(socket);
      socket.on('error', () => {}).resume();
      return socket;
    });
    const thief = reason(come(meeting.port, hello(1), 'guessed', 0.5));
    const others = [1, 2].map((rank) => come(meeting.port, hello(rank)));
    expect((await all).length).toBe(2);
    meeting.welcome(null);
    await Promise.all(others);
    expect(await thief).toMatch(/did not meet rank 0/);
    await Promise.all(
      strangers.map(
        (socket) => new Promise<void>((done) => (socket.destroyed ? done() : socket.once('close', () => done()))),
      ),
    );
  });

  it('knows another program that listens there, and a port that is taken', async () => {
    const other = createServer((socket: Socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
    opened.push(other);
    const { port } = other.address() as { port: number };
    expect(await reason(come(port, hello(1)))).toMatch(
      /what listens at .* is not rank 0 of this program; set TRAM_MASTER_PORT/,
    );
    const taken = Meeting.open({ own: hello(0), host: '127.0.0.1', port, token: '' });
    expect(await reason(taken)).toMatch(/another program listens there; set TRAM_MASTER_PORT to a free port/);
  });

  it('is over when it is stopped', async () => {
    const meeting = await meet();
    const controller = new AbortController();
    const all = reason(meeting.all(5, controller.signal));
    controller.abort(new Error('stopped by hand'));
    expect(await all).toBe('stopped by hand');
  });
});
