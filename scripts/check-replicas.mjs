// Several GPUs of this host, one process for each, tried together, after the build:
//   node scripts/check-replicas.mjs [--ranks N] [--only NAME,…] [--apart] [--reference]
// A line per check as it goes; exit code 0 where all hold, and never longer than 100 s. Sums are of whole numbers, or
// of two, so that one bit that is wrong shows. --apart: reductions between graphs of kernels, not in them. --reference
// tries this file without a GPU: a device in plain loops for each process, in small.

import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { mistake, optionsOf } from '../bench/options.mjs';

const { values: given } = optionsOf(import.meta.url, {
  options: {
    ranks: { type: 'string', default: '2' },
    only: { type: 'string' },
    apart: { type: 'boolean', default: false },
    reference: { type: 'boolean', default: false },
  },
});
const ranks = Number(given.ranks);
const LIMIT_SECONDS = 100;
/** Seconds within which the others end when a rank was killed. */
const SOON = 10;
const engine = new URL('../dist/engine/', import.meta.url);
const load = (path) => import(new URL(path, engine).href);
/** Σ (rank + 1). */
const SUM = (ranks * (ranks + 1)) / 2;

if (process.env.CHECK_RANK === undefined) await lead();
else await follow(Number(process.env.CHECK_RANK));

/** Starts the processes and tells what they find. */
async function lead() {
  const found = given.reference ? { available: true } : (await load('cuda/runtime/device.js')).findCuda();
  if (!found.available) throw mistake(`${found.reason}; ${found.hint}`);
  const begun = Date.now();
  const seconds = () => `${((Date.now() - begun) / 1000).toFixed(1).padStart(5)} s`;
  let failures = 0;
  const tell = (good, name, text = '') => {
    if (!good) failures++;
    console.log(`${seconds()}  ${good ? '✓' : '✗'} ${name}${text ? `: ${text}` : ''}`);
  };
  // Multicast between GPUs stays off unless somebody says otherwise: it can put shared machines out of service.
  const env = { NCCL_NVLS_ENABLE: '0', ...process.env };
  const children = Array.from({ length: ranks }, (_, rank) =>
    fork(new URL(import.meta.url), process.argv.slice(2), { env: { ...env, CHECK_RANK: String(rank) } }),
  );
  const end = (code) => {
    for (const child of children) child.kill('SIGKILL');
    process.exit(code);
  };
  let doing = 'start';
  setTimeout(() => {
    tell(false, doing, `not done after ${LIMIT_SECONDS} s`);
    end(1);
  }, LIMIT_SECONDS * 1000);

  /** Results of a check by rank, until all are there. */
  const results = new Map();
  let killed;
  children.forEach((child, rank) => {
    child.on('message', (message) => {
      if (message.id) {
        for (const other of children.slice(1)) other.send({ id: message.id });
        return;
      }
      doing = message.name;
      const of = results.get(message.name) ?? [];
      of[rank] = message;
      results.set(message.name, of);
      if (message.kill !== undefined) {
        if (rank !== 0) return;
        killed = { rank: message.kill, at: Date.now() };
        setTimeout(() => children[message.kill].kill('SIGKILL'), 300);
        return;
      }
      if (message.alone) {
        tell(message.good, message.name, message.text);
        return;
      }
      if (of.filter(Boolean).length < ranks) return;
      const same = of.every(({ digest }) => digest === of[0].digest);
      const bad = of.findIndex(({ good }) => !good);
      if (!same) tell(false, message.name, `ranks differ: ${of.map(({ digest }) => digest).join(', ')}`);
      else if (bad >= 0) tell(false, message.name, `rank ${bad}: ${of[bad].text}`);
      else tell(true, message.name, of[0].text);
    });
    child.on('exit', (code, signal) => {
      if (killed?.rank === rank && signal === 'SIGKILL') {
        for (const other of children) if (other !== child && other.connected) other.send({ lost: rank });
        return;
      }
      if (code !== 0) tell(false, `rank ${rank}`, `ended with ${signal ?? code}, at or after: ${doing}`);
      if (code !== 0 && killed === undefined) end(1);
    });
  });
  await Promise.all(children.map((child) => once(child, 'exit')));
  if (killed) {
    const took = (Date.now() - killed.at) / 1000;
    tell(took < SOON, 'all processes ended', `${took.toFixed(1)} s after the kill`);
  }
  console.log(failures === 0 ? 'all checks hold' : `${failures} checks fail`);
  process.exit(failures === 0 ? 0 : 1);
}

/** How many elements are not this. */
function others(data, expected) {
  let count = 0;
  for (let at = 0; at < data.length; at++) if (data[at] !== expected) count++;
  return count;
}

/** One rank: does all checks in the order in which the others do them. */
async function follow(rank) {
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  const tell = (name, good, text, more = {}) => process.send({ name, good, text, ...more });
  /** The next message of the leader in which this stands; messages that come before anybody asks are kept. */
  const kept = [];
  const asking = [];
  process.on('message', (message) => {
    const at = asking.findIndex(({ key }) => key in message);
    if (at < 0) kept.push(message);
    else {
      const [{ key, resolve }] = asking.splice(at, 1);
      resolve(message[key]);
    }
  });
  const next = (key) => {
    const at = kept.findIndex((message) => key in message);
    if (at >= 0) return Promise.resolve(kept.splice(at, 1)[0][key]);
    return new Promise((resolve) => asking.push({ key, resolve }));
  };

  const { Graph } = await load('graph/graph.js');
  const opened = given.reference ? await openReference(rank, next) : await openGpu(rank, next, tell);
  const { backend, small } = opened;
  const wanted = given.only?.split(',');
  const wants = (name) => wanted === undefined || wanted.includes(name);
  const began = performance.now();
  const session = await backend.openSession();
  const joined = (performance.now() - began) / 1000;
  tell('join', backend.device.replicas === ranks, `${joined.toFixed(2)} s${opened.taken?.() ?? ''}`);

  const graphOf = (build) => {
    const graph = new Graph({ replicas: ranks });
    build(graph);
    return session.compile(graph);
  };
  const checks = { exact, many, inTurn, moved, sessions, speed, chain, overlap };
  for (const [name, check] of Object.entries(checks)) if (wants(name)) await check();
  if (wants('killed')) await dies();
  else {
    await session.dispose();
    await backend.close?.();
    tell('end', true, 'the session is disposed of, the group left');
  }
  process.removeAllListeners('disconnect');
  process.disconnect();
  setTimeout(() => process.exit(0), 100);
  return;

  /** Buckets of odd sizes: every kind, against the host. */
  async function exact() {
    const sizes = small ? [1, 3, 1021] : [1, 3, 1021, 65_537, 1_000_003, 7];
    // Numbers of many sizes and signs, the same function of rank, tensor and place on all ranks.
    const value = (of, tensor, at) =>
      Math.fround(Math.sin(1 + of * 7919 + tensor * 104_729 + at) * 10 ** ((at % 9) - 4));
    const fold = { sum: (a, b) => a + b, mean: (a, b) => a + b, min: Math.min, max: Math.max };
    const terms = Array.from({ length: ranks }, (_, of) =>
      sizes.map((size, tensor) => {
        const values = new Float32Array(size);
        for (let at = 0; at < size; at++) values[at] = value(of, tensor, at);
        return values;
      }),
    );
    for (const kind of ['sum', 'mean', 'min', 'max']) {
      const program = await graphOf((graph) => {
        const inputs = sizes.map((size, at) => graph.input(`x${at}`, [size]));
        for (const [at, reduced] of graph.reduced(kind, inputs).entries()) graph.output(`y${at}`, reduced);
      });
      for (const tensor of sizes.keys()) program.write(`x${tensor}`, terms[rank][tensor]);
      await program.run();
      const hash = createHash('sha256');
      let worst = 0;
      for (const [tensor, size] of sizes.entries()) {
        const found = await program.read(`y${tensor}`);
        hash.update(new Uint8Array(found.buffer));
        for (let at = 0; at < size; at++) {
          let [right, scale] = [terms[0][tensor][at], 1e-30];
          for (let of = 1; of < ranks; of++) right = fold[kind](right, terms[of][tensor][at]);
          for (let of = 0; of < ranks; of++) scale += Math.abs(terms[of][tensor][at]);
          right = Math.fround(kind === 'mean' ? right / ranks : right);
          if (found[at] !== right) worst = Math.max(worst, Math.abs(found[at] - right) / scale || 1);
        }
      }
      // Of two every sum is rounded once; of more, once per rank in whatever order.
      const allowed = ranks === 2 || kind === 'min' || kind === 'max' ? 0 : ranks * 2 ** -24;
      const text = `${sizes.join(', ')} elements; beside the host ${worst === 0 ? 'every bit' : worst.toExponential(2)}`;
      tell(`${kind} of a bucket`, worst <= allowed, text, { digest: hash.digest('hex').slice(0, 16) });
      await program.dispose();
    }
  }

  /** Many reductions in a program beside kernels that need not wait for them, over and over, in whole numbers. */
  async function many() {
    const [layers, size, runs] = small ? [5, 33, 20] : [24, 262_147, 1000];
    const program = await graphOf((graph) => {
      let h = graph.input('x', [size]);
      for (let layer = 0; layer < layers; layer++) {
        const count = graph.variable(`many ${layer}`, [size]);
        const [sum] = graph.reduced('sum', [graph.apply1('affine', [h], { scale: 1, offset: 0 })]);
        graph.assign(count, graph.apply1('add', [count, sum], { alpha: 1, beta: 1 }));
        h = graph.apply1('relu', [graph.apply1('affine', [h], { scale: 1, offset: 1 })], {});
      }
      graph.output('last', h);
    });
    const x = new Float32Array(size);
    const begun = performance.now();
    for (let run = 0; run < runs; run++) {
      for (let at = 0; at < size; at++) x[at] = rank + 1 + (at % 5) + (run % 3);
      program.write('x', x);
      await program.run();
    }
    let wrong = 0;
    const hash = createHash('sha256');
    const turns = Array.from({ length: runs }, (_, run) => run % 3).reduce((a, b) => a + b, 0);
    for (let layer = 0; layer < layers; layer++) {
      const { data } = await session.read(`many ${layer}`);
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      for (let at = 0; at < size; at++) {
        const expected = runs * (SUM + ranks * ((at % 5) + layer)) + ranks * turns;
        if (data[at] !== expected) wrong++;
      }
    }
    const each = (performance.now() - begun) / runs;
    tell(
      'many reductions beside kernels',
      wrong === 0,
      `${layers} of ${size} elements, ${runs} runs, ${wrong} wrong, ${each.toFixed(2)} ms each with the host's work`,
      {
        digest: hash.digest('hex').slice(0, 16),
      },
    );
    await program.dispose();
  }

  /** Runs each as often, one after the other, started without waiting where the device keeps the order. */
  async function runInTurn(programs, size, turns) {
    for (const program of programs) program.write('mine', new Float32Array(size).fill(rank + 1));
    const started = [];
    for (let turn = 0; turn < turns; turn++) {
      for (const program of programs) {
        if (given.reference) await program.run();
        else started.push(program.run());
      }
    }
    await Promise.all(started);
  }

  /** Two programs that change one variable in ways that do not commute, started without waiting for each other. */
  async function inTurn() {
    const [size, turns] = small ? [17, 10] : [65_537, 200];
    const programs = [];
    for (const own of [true, false]) {
      programs.push(
        await graphOf((graph) => {
          const v = graph.variable('turned', [size]);
          const mine = graph.input('mine', [size]);
          const next = own
            ? graph.apply1('add', [v, graph.reduced('sum', [mine])[0]], { alpha: 1, beta: 1 })
            : graph.reduced('mean', [graph.apply1('affine', [v], { scale: 0.5, offset: 0 })])[0];
          graph.assign(v, next);
          graph.output('first', graph.apply1('affine', [mine], { scale: 1, offset: 0 }));
        }),
      );
    }
    await runInTurn(programs, size, turns);
    let expected = 0;
    for (let turn = 0; turn < turns; turn++) {
      expected = Math.fround(expected + SUM);
      expected = Math.fround(expected / 2);
    }
    const { data } = await session.read('turned');
    const wrong = others(data, expected);
    tell('two programs in turn', wrong === 0, `${turns} turns, ${data[0]} where ${expected} is right`, {
      digest: createHash('sha256').update(new Uint8Array(data.buffer)).digest('hex').slice(0, 16),
    });
    for (const program of programs) await program.dispose();
  }

  /** Programs are built again when the arena has moved: larger, then smaller. */
  async function moved() {
    const size = small ? 50 : 1_000_001;
    const build = (factor) =>
      graphOf((graph) => {
        const x = graph.input('x', [factor * size]);
        const hidden = graph.apply1('affine', [x], { scale: 2, offset: 0 });
        const [sum] = graph.reduced('sum', [graph.apply1('relu', [hidden], {})]);
        graph.output('y', graph.apply1('affine', [sum], { scale: 1, offset: 1 }));
      });
    let wrong = 0;
    const hash = createHash('sha256');
    const runs = async (program, factor, times) => {
      for (let time = 0; time < times; time++) {
        program.write('x', new Float32Array(factor * size).fill(rank + time));
        await program.run();
        const y = await program.read('y');
        hash.update(new Uint8Array(y.buffer));
        const expected = 1 + 2 * (SUM - ranks + ranks * time);
        wrong += others(y, expected);
      }
    };
    const first = await build(1);
    await runs(first, 1, 2);
    const bytes = session.bytes;
    const larger = await build(7);
    const grown = session.bytes;
    await runs(first, 1, 3);
    await runs(larger, 7, 2);
    await runs(first, 1, 2);
    await larger.dispose();
    await runs(first, 1, 2);
    const text = `${wrong} wrong; ${[bytes, grown, session.bytes].map((b) => (b / 2 ** 20).toFixed(0)).join(' → ')} MiB`;
    tell('built again where the arena moved', wrong === 0, text, { digest: hash.digest('hex').slice(0, 16) });
    await first.dispose();
  }

  /** Two sessions of the group, whose runs are started without waiting for each other. */
  async function sessions() {
    const [size, turns] = small ? [17, 5] : [1_000_003, 100];
    const other = await backend.openSession();
    const programs = [];
    for (const one of [session, other]) {
      const graph = new Graph({ replicas: ranks });
      const v = graph.variable('counted', [size]);
      const [sum] = graph.reduced('sum', [graph.input('mine', [size])]);
      graph.assign(v, graph.apply1('add', [v, sum], { alpha: 1, beta: 1 }));
      programs.push(await one.compile(graph));
    }
    await runInTurn(programs, size, turns);
    const found = [(await session.read('counted')).data, (await other.read('counted')).data];
    const wrong = found.reduce((sum, data) => sum + others(data, turns * SUM), 0);
    tell('two sessions in turn', wrong === 0, `${turns} turns, ${wrong} wrong`, {
      digest: createHash('sha256').update(new Uint8Array(found[0].buffer)).digest('hex').slice(0, 16),
    });
    for (const program of programs) await program.dispose();
    await other.dispose();
  }

  /** Of a run, behind some that warm up. */
  async function millisecondsOf(program) {
    if (program.timeRuns) {
      await program.timeRuns(10);
      return await program.timeRuns(50);
    }
    for (let run = 0; run < 3; run++) await program.run();
    const begun = performance.now();
    for (let run = 0; run < 3; run++) await program.run();
    return (performance.now() - begun) / 3;
  }

  /**
   * What a reduction costs that kernels wait for, as ranges of activations are: links of a kernel and a reduction, one
   * after the other, beside the kernels alone.
   */
  async function chain() {
    const links = small ? 4 : 16;
    const sizes = small ? [2, 256] : [2, 16_384, 262_144, 2_250_000];
    const each = [];
    for (const size of sizes) {
      const times = [];
      for (const reduces of [false, true]) {
        const program = await graphOf((graph) => {
          let h = graph.input('x', [size]);
          for (let link = 0; link < links; link++) {
            h = graph.apply1('affine', [h], { scale: 0.5, offset: 1 });
            if (reduces) [h] = graph.reduced('min', [h]);
          }
          graph.output('last', graph.apply1('sum', [h], {}));
        });
        program.write('x', new Float32Array(size).fill(rank));
        times.push(await millisecondsOf(program));
        await program.dispose();
      }
      each.push((1000 * (times[1] - times[0])) / links);
    }
    const [first, last] = [each[0], each.at(-1)];
    const bandwidth = (4 * (sizes.at(-1) - sizes[0])) / ((last - first) * 1e3);
    const list = sizes.map((size, at) => `${4 * size} bytes ${each[at].toFixed(1)} µs`).join(', ');
    tell('reductions in a chain', true, `${list}; so ${first.toFixed(1)} µs + bytes/${bandwidth.toFixed(0)} GB/s`);
  }

  /** 45 MB, what a ResNet18 has in gradients, by themselves: in buckets of few and of many tensors. */
  async function speed() {
    const bytes = small ? 4500 : 45e6;
    for (const [buckets, tensors] of [
      [1, 1],
      [5, 1],
      [5, 12],
      [2, 30],
    ]) {
      const size = Math.floor(bytes / 4 / buckets / tensors);
      const program = await graphOf((graph) => {
        const of = (bucket) =>
          Array.from({ length: tensors }, (_, at) =>
            graph.variable(`speed ${buckets} ${tensors} ${bucket} ${at}`, [size]),
          );
        for (let bucket = 0; bucket < buckets; bucket++) {
          const variables = of(bucket);
          for (const [at, mean] of graph.reduced('mean', variables).entries()) graph.assign(variables[at], mean);
        }
        graph.output('one', graph.apply1('affine', [graph.input('x', [1])], { scale: 1, offset: 0 }));
      });
      program.write('x', new Float32Array(1));
      const ms = await millisecondsOf(program);
      const bus = (2 * (ranks - 1) * bytes) / ranks / ms / 1e6;
      tell(
        `speed, ${buckets} × ${tensors}`,
        true,
        `${bytes / 1e6} MB in ${buckets} buckets of ${tensors} tensors: ${ms.toFixed(3)} ms a run, ${bus.toFixed(0)} GB/s bus bandwidth`,
      );
      await program.dispose();
    }
  }

  /** Kernels alone, reductions alone, both in one program: how much of the reductions is hidden. */
  async function overlap() {
    const size = small ? 64 : 2 ** 24;
    const chunk = small ? 8 : 2 ** 21;
    const layers = 12;
    const build = (kernels, reductions) =>
      graphOf((graph) => {
        let h = graph.variable('overlap h', [size]);
        for (let layer = 0; layer < layers; layer++) {
          if (kernels) h = graph.apply1('scaleBy', [h, graph.input(`s${layer}`, [])], {});
          const g = graph.variable(`overlap g${layer}`, [chunk]);
          if (reductions && layer % 2 === 1) graph.assign(g, graph.reduced('mean', [g])[0]);
        }
        if (kernels) graph.assign(graph.variable('overlap h', [size]), h);
        graph.output('one', graph.apply1('affine', [graph.input('x', [1])], { scale: 1, offset: 0 }));
      });
    const times = [];
    for (const parts of [
      [true, false],
      [false, true],
      [true, true],
    ]) {
      const program = await build(...parts);
      program.write('x', new Float32Array(1));
      if (parts[0]) for (let layer = 0; layer < layers; layer++) program.write(`s${layer}`, Float32Array.of(1));
      if (program.timeRuns === undefined) await program.run();
      times.push((await program.timeRuns?.(50)) ?? Number.NaN);
      await program.dispose();
    }
    const [kernels, reductions, both] = times;
    tell(
      'overlap',
      true,
      Number.isNaN(both)
        ? 'runs; not timed on this device'
        : `kernels ${kernels.toFixed(3)} ms, reductions ${reductions.toFixed(3)} ms, both ${both.toFixed(3)} ms a run`,
    );
  }

  /** The last rank is killed while programs run; the others learn its name and end. */
  async function dies() {
    const victim = ranks - 1;
    const size = small ? 64 : 4_000_037;
    const program = await graphOf((graph) => {
      const x = graph.input('x', [size]);
      graph.output('y', graph.reduced('sum', [graph.apply1('relu', [x], {})])[0]);
      graph.output('first', graph.apply1('affine', [graph.input('one', [1])], { scale: 1, offset: 0 }));
    });
    program.write('x', new Float32Array(size).fill(1));
    program.write('one', Float32Array.of(1));
    await program.run();
    await program.read('first');
    tell('a rank is killed', true, '', { kill: victim });
    let ended;
    void next('lost').then((lost) => {
      const reason = new Error(`rank ${lost} of ${ranks} was lost`);
      ended = backend.lose?.(reason);
      opened.lose?.(reason);
    });
    let caught;
    const begun = performance.now();
    while (caught === undefined && performance.now() - begun < 1000 * SOON) {
      try {
        // As training does: several are under way when the rank is lost.
        for (let run = 0; run < 3; run++) await program.run();
        await program.read('first');
      } catch (error) {
        caught = error;
      }
    }
    const alone = { alone: true };
    const named = new RegExp(`rank ${victim}\\b|another GPU`).test(caught?.message ?? '');
    if (rank === victim) return;
    tell(`rank ${rank} learns of it`, named || given.reference, caught?.message ?? `nothing after ${SOON} s`, alone);
    const since = performance.now();
    const stopped = await ended;
    tell(
      `rank ${rank} ends its reductions`,
      stopped !== undefined || given.reference,
      `${stopped ? 'the device is free' : 'the process must end for it'}, ${((performance.now() - since) / 1000).toFixed(2)} s`,
      alone,
    );
    const again = await program.run().then(
      () => 'a run was started',
      (error) => error.message,
    );
    tell(`rank ${rank} starts nothing more`, again === caught?.message || given.reference, again, alone);
    await session
      .dispose()
      .catch((error) => tell(`rank ${rank} is disposed of`, given.reference, error.message, alone));
    await backend.close?.();
  }
}

async function openGpu(rank, next, tell) {
  const { cudaBackend, collectiveId } = await load('cuda/runtime/backend.js');
  const { findCuda, openCuda } = await load('cuda/runtime/device.js');
  const { Context } = await load('cuda/runtime/driver.js');
  const found = findCuda();
  const { name } = found.devices[rank] ?? {};
  tell(
    'libraries',
    found.ncclVersion !== null && name !== undefined,
    `NCCL ${found.ncclVersion}, ${found.ncclLibrary}; CUDA ${found.driverVersion}; ${name}`,
  );
  const { driver, devices } = openCuda();
  const context = new Context(driver, devices[rank]);
  const before = context.freeBytes();
  let id;
  if (rank === 0) {
    id = collectiveId();
    process.send({ id: Buffer.from(id).toString('base64') });
  } else id = new Uint8Array(Buffer.from(await next('id'), 'base64'));
  return {
    backend: cudaBackend({ device: rank, collective: { rank, ranks, id, patienceSeconds: 40, apart: given.apart } }),
    small: false,
    taken: () => `, ${((before - context.freeBytes()) / 2 ** 20).toFixed(0)} MiB of the GPU for the group`,
  };
}

/** Devices in plain loops that meet in rank 0 over sockets. */
async function openReference(rank, next) {
  const { referenceBackend } = await load('reference/backend.js');
  const { hubCollective, spokeCollective } = await load('replicas/socket-collective.js');
  const sockets = [];
  let collective;
  if (rank === 0) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    process.send({ id: server.address().port });
    for (let others = 1; others < ranks; others++) {
      const [socket] = await once(server, 'connection');
      const [of] = await once(socket, 'data');
      sockets[of[0] - 1] = socket;
    }
    for (const socket of sockets) socket.write(Uint8Array.of(1));
    server.close();
    collective = hubCollective(sockets);
  } else {
    const socket = connect(await next('id'), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(Uint8Array.of(rank));
    await once(socket, 'data');
    sockets.push(socket);
    collective = spokeCollective(socket, rank, ranks);
  }
  return {
    backend: referenceBackend({ collective }),
    small: true,
    lose: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}
