// What a journal of workers says of a sweep, independently of claims, locks and results: each run is done to its last
// step, by one worker at a time, and no step again but the one that a kill has kept from being saved.
// A line is WORD PID RUN STEP: begin (with the steps that were saved), step, done; or kill PID.

export function faultsIn(journal: string, runs: readonly string[], steps: number): string[] {
  const lines = journal.trim().split('\n');
  const faults: string[] = [];
  const killed = new Set<string>();
  /** Of each run: who has it, the last step that was told, and whether it has been told as done. */
  const states = new Map(runs.map((run) => [run, { owner: '', last: 0, isDone: false, again: 0 }]));
  for (const line of lines) {
    const [word, pid = '', run = '', text] = line.split(' ');
    const step = Number(text);
    if (word === 'kill') killed.add(pid);
    const state = states.get(run);
    if (!state) continue;
    if (word === 'begin') {
      if (state.owner !== '' && !killed.has(state.owner)) {
        faults.push(`${run} was begun by ${pid} while ${state.owner} lived and had it`);
      }
      if (step < state.last - 1) faults.push(`${run} began at ${step} when ${state.last} steps were done`);
      if (state.isDone && step < steps) faults.push(`${run} was done again after it was done`);
      Object.assign(state, { owner: pid, last: step });
    } else if (state.owner !== pid) faults.push(`${run}: ${line} by one who does not have it`);
    else if (word === 'step') {
      if (step !== state.last + 1) faults.push(`${run} went from step ${state.last} to ${step}`);
      state.last = step;
    } else if (word === 'done') Object.assign(state, { isDone: true, owner: '' });
  }
  for (const [run, { isDone }] of states) if (!isDone) faults.push(`${run} was never done`);
  return faults;
}
