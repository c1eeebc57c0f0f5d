// Python for tests that need it: TRAM_PYTHON, else python3, else the system's own.

import { spawnSync } from 'node:child_process';

const LOOK = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)';

/** The first interpreter that has torch; looking for it does not import it. */
export function pythonWithTorch(): string | undefined {
  const { TRAM_PYTHON } = process.env;
  return [...(TRAM_PYTHON ? [TRAM_PYTHON] : []), 'python3', '/usr/bin/python3'].find(
    (python) => spawnSync(python, ['-c', LOOK]).status === 0,
  );
}
