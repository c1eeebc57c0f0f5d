// The teacher of a phase: the float network of phase train or the quantised one of phase quantize, with exact
// multipliers, from the run's own checkpoint. Each time that a phase begins or goes on that is what the manifest says,
// so that a resumed phase learns from the same bits.

import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { UserError } from '../../tensor/errors.ts';
import { type Teacher, writeTeacher } from '../../train/distillation.ts';
import { quantizedArithmetic } from '../multipliers/multipliers.ts';
import { modelFrom, type OpenRun, requirePhase } from '../run/context.ts';
import { files } from '../run/folder.ts';
import type { Configuration } from '../settings/config.ts';
import { isTraining, type Phase, type TrainingPhase } from '../settings/phases.ts';

type Learning = Pick<OpenRun, 'configuration' | 'layers'>;
type TeacherName = 'float' | 'quantized';
type Taught = Exclude<TrainingPhase, 'train'>;

/** The teacher that the settings give a phase, who may be whoever the run has; undefined: none, or nothing to learn. */
function wantedTeacher(configuration: Configuration, phase: Phase): TeacherName | 'usual' | undefined {
  if (phase === 'train' || !isTraining(phase)) return undefined;
  const { teacher, epochs } = configuration[phase];
  return teacher === 'none' || epochs === 0 ? undefined : teacher;
}

/**
 * A run that began with a quantised network has no float one to learn from: its weights in float32 are no network that
 * anybody trained.
 */
export function requireFloatTeacher(configuration: Configuration, toDo: readonly Phase[], isQuantized: boolean): void {
  const phase = toDo.find((phase) => wantedTeacher(configuration, phase) === 'float');
  if (!phase || !isQuantized) return;
  const instead = phase === 'quantize' ? 'none' : 'quantized or none';
  throw new UserError(
    `settings: ${phase}.teacher is float, but the run began with the checkpoint of a quantised network and has no float one; expected ${instead}: --teacher quantized`,
  );
}

/**
 * Who teaches a phase of the run. Where the settings leave it open that is the float network; where the run has none,
 * the quantised one, behind the phase that makes it.
 */
function teacherOf(run: Learning, phase: TrainingPhase, isQuantized: boolean): TeacherName | undefined {
  const wanted = wantedTeacher(run.configuration, phase);
  if (wanted === undefined) return undefined;
  requireFloatTeacher(run.configuration, [phase], isQuantized);
  if (wanted !== 'usual') return wanted;
  if (!isQuantized) return 'float';
  return phase === 'quantize' ? undefined : 'quantized';
}

/** Writes the phase's teacher into the session. */
export function loadTeacher(run: OpenRun, phase: TrainingPhase, session: Session): Teacher | undefined {
  if (!wantedTeacher(run.configuration, phase)) return undefined;
  const isQuantized = requirePhase(run, 'train').files[files.quantizers] !== undefined;
  const name = teacherOf(run, phase, isQuantized);
  if (!name) return undefined;
  const from: readonly [Phase, string] = name === 'float' ? ['train', files.float] : ['quantize', files.quantized];
  writeTeacher(session, modelFrom(run, ...from));
  return taught(run, phase, name);
}

/** The phase's teacher as it will be, for the form of a step. `isQuantized`: the run began with a quantised network. */
export function teacherToCome(run: Learning, phase: TrainingPhase, isQuantized: boolean): Teacher | undefined {
  const name = teacherOf(run, phase, isQuantized);
  return name && taught(run, phase, name);
}

function taught(run: Learning, phase: TrainingPhase, name: TeacherName): Teacher {
  const { configuration } = run;
  const { teacherWeight: weight, temperature } = configuration[phase as Taught];
  const arithmetic = name === 'float' ? ({ kind: 'float' } as const) : quantizedArithmetic(run, exactMultiplier);
  return { arithmetic, weight, temperature };
}

/** Who teaches a phase, and why it is not who would usually; undefined where nobody does and nobody would. */
export function tellTeacher({ configuration }: OpenRun, phase: TrainingPhase, teacher: Teacher | undefined) {
  const isInstead = wantedTeacher(configuration, phase) === 'usual' && teacher?.arithmetic.kind !== 'float';
  const why = isInstead ? ', since the run began with a quantised network and has no float one' : '';
  if (teacher) return `${describeTeacher(teacher)}${why}`;
  return isInstead ? `teacher: none${why}` : undefined;
}

function describeTeacher({ arithmetic, weight, temperature }: Teacher): string {
  const what = arithmetic.kind === 'float' ? 'the float network' : 'the quantised network with exact multipliers';
  return `teacher: ${what}, weight ${weight}, temperature ${temperature}`;
}
