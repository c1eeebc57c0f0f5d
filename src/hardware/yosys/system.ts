// A Yosys of the system, `yosys` on the PATH. Each run has a temporary folder of its own that is removed afterwards.
// Invariant: started without a shell, with fixed arguments; text from users reaches it in files only, Verilog after
// safety.ts has refused what would reach outside. It is no sandbox all the same: it runs with the rights of this
// process.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { DEFAULT_TIMEOUT_MS, type Yosys, type YosysRequest, type YosysRun } from './tool.ts';

const MAX_LOG_BYTES = 2 ** 28;

interface Outcome {
  readonly ok: boolean;
  readonly log: string;
}

export class SystemYosys implements Yosys {
  readonly sandboxed = false;
  readonly #running = new AbortController();
  readonly #command: string;

  /** `command` is the name or path of the program. */
  constructor(command = 'yosys') {
    this.#command = command;
  }

  async run({ script, files, outputs, timeoutMs = DEFAULT_TIMEOUT_MS }: YosysRequest): Promise<YosysRun> {
    const folder = await mkdtemp(join(tmpdir(), 'tram-yosys-'));
    try {
      for (const [name, text] of Object.entries({ ...files, 'script.ys': script })) {
        await writeFile(join(folder, name), text);
      }
      const { ok, log } = await this.#execute(['-s', 'script.ys'], folder, timeoutMs);
      const written: Record<string, string> = {};
      for (const name of outputs) {
        const text = await readFile(join(folder, name), 'utf8').catch(() => null);
        if (text !== null) written[name] = text;
      }
      return { ok, log, files: written };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async version(): Promise<string> {
    return (await this.#execute(['-V'], tmpdir(), DEFAULT_TIMEOUT_MS)).log.trim();
  }

  async close(): Promise<void> {
    this.#running.abort();
  }

  #execute(args: readonly string[], cwd: string, timeout: number): Promise<Outcome> {
    const { signal } = this.#running;
    return new Promise((resolve, reject) => {
      const options = { cwd, timeout, signal, maxBuffer: MAX_LOG_BYTES };
      execFile(this.#command, args, options, (error, stdout, stderr) => {
        if (error?.code === 'ENOENT') {
          reject(new UserError(`no program "${this.#command}" found: install Yosys, or use the bundled one`));
        } else if (error?.killed) {
          reject(
            new UserError(
              `Yosys took more than ${timeout / 1000} s or was stopped: expected a smaller circuit or more time`,
            ),
          );
        } else resolve({ ok: !error, log: stdout + stderr });
      });
    });
  }
}
