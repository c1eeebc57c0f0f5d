// What `--help` of the phase commands teaches: what the command does, what it reads and writes in the run folder, and
// examples.

export type PhaseCommand = 'run' | 'train' | 'quantize' | 'explore' | 'recover';

interface HelpTexts {
  readonly description: string;
  /** Behind the options. */
  readonly after: string;
}

const CONTINUE = `
A phase that is done with the same settings is skipped, an interrupted one goes on where it was saved. Settings that are
not given are the run's own; the defaults above are those of a new run, and --unset OPTION,OPTION returns to them.
With other settings --redo does the run again from the first phase that they concern, and no earlier; without --redo they
are refused. Everything given is checked before the first epoch, and a refused command changes nothing.
`;

export const phaseHelp: Readonly<Record<PhaseCommand, HelpTexts>> = {
  run: {
    description:
      'Does everything: trains a float model, quantises it, explores the multiplier structure θ together with the weights, maps θ ' +
      'to a gate-level multiplier, retrains the network with it, and writes a report.',
    after: `
Writes the run folder:
  manifest.json      what was asked for, what went in, which phases are done
  checkpoints/       the networks after each phase (safetensors)
  metrics.jsonl      one line per epoch
  theta.json         the structure parameters found
  multiplier.*       the multiplier: Verilog, BLIF, table, error report
  report.html        the report, with its figures in figures/

Run it again to go on after an interruption. Without a folder, another --lambda makes a run of its own, in a folder named
after it; with --redo it replaces the exploration of the run that is there and what follows, and with --from RUN it starts
a new run from the trained and quantised network of that one, which stays as it is. With --redo and nothing different all phases are
done again. With --multiplier nothing is explored: the quantised network is measured with that multiplier and recovered.
A relative path to data is looked for from where you stand, then from where the run found it before.
${CONTINUE}
Examples:
  tram run                                              digits, resnet8, 8 bits
  tram run --lambda 0.9 --out runs/low-power
  tram run --lambda 2 --from runs/low-power --out runs/lower-power
  tram run --multiplier drum:8x8:bits=6                 a multiplier of your own instead of a trained one
  tram run --data cifar10:data/cifar-10-batches-bin --model resnet20 --train-epochs 60
  tram run --data csv:faces.csv --image 32x32x1 --bits 4x8
  tram run --device cuda:all                            all GPUs of this host together (docs/scale.md)
  tram run --config settings.json --print-config
  tram run --json > summary.json
`,
  },
  train: {
    description: 'Trains the float model, or takes one from a checkpoint, and measures it. This begins a run.',
    after: `
Reads the data set (and --checkpoint). Writes manifest.json, metrics.jsonl and checkpoints/float.safetensors.
A checkpoint that the published program quantised is the start of phase 1: neither trained nor calibrated (docs/checkpoints.md).
${CONTINUE}
Examples:
  tram train --epochs 30 --out runs/mine
  tram train --model resnet18 --data cifar10:data --checkpoint resnet18.pth --out runs/resnet18
`,
  },
  quantize: {
    description:
      'Quantises the trained network: calibrates the scales and zero points of weights and activations on training images, and ' +
      'retrains the quantised network when --epochs is more than 0. Multiplications stay exact.',
    after: `
Reads checkpoints/float.safetensors. Writes checkpoints/quantized.safetensors.
${CONTINUE}
Examples:
  tram quantize runs/mine
  tram quantize runs/mine --bits 4 --epochs 20
`,
  },
  explore: {
    description:
      'Phase 1: trains the structure parameters θ of the approximate multiplier together with the weights. The loss is the ' +
      'cross-entropy plus λ times the normalised power, so a larger λ gives a smaller multiplier.',
    after: `
Reads checkpoints/quantized.safetensors. Writes theta.json and checkpoints/explored.safetensors.
${CONTINUE}
Examples:
  tram explore runs/mine
  tram explore runs/mine --lambda 0.9 --redo
  tram explore runs/mine --structure per-layer --exact-layers fc
`,
  },
  recover: {
    description: 'Phase 3: retrains the network with the mapped multiplier in every multiplication, and measures it.',
    after: `
Reads checkpoints/explored.safetensors (quantized.safetensors under a given multiplier) and the certified multiplier. Writes checkpoints/recovered.safetensors.
${CONTINUE}
Examples:
  tram recover runs/mine
  tram recover runs/mine --epochs 20 --learning-rate 1e-3 --redo
`,
  },
};
