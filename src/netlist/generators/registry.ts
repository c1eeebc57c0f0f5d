// All generators by kind, with what a person needs to choose one: summary, parameters, signedness, source. `generate`
// checks the parameters and gives the network, cleaned up, with the formula that it must equal; `parseGeneratorSpec`
// reads `kind:8x8:name=value,…`.

import { checkNetlistBits } from '../../multiplier/widths.ts';
import { UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { cleanUp } from '../cleanup.ts';
import { didYouMean } from '../diagnostics.ts';
import type { Network } from '../network.ts';
import { arrayMultiplier } from './array.ts';
import { brokenArray, lowerPartOr, truncated, underdesignedBlocks, upperBits } from './arrays.ts';
import { type CompressorName, compressorMultiplier, compressors } from './compressors.ts';
import type { Formula, Generated } from './generator.ts';
import { drum, mitchell, roba } from './leading-one.ts';
import { baughWooleyMultiplier, boothMultiplier } from './signed.ts';
import { compactMultiplier, daddaMultiplier, wallaceMultiplier } from './trees.ts';

interface Widths {
  readonly weightBits: number;
  readonly activationBits: number;
}

interface ParameterBase {
  readonly name: string;
  readonly meaning: string;
}

export interface IntegerParameter extends ParameterBase {
  readonly type: 'integer';
  readonly minimum: number;
  readonly maximum: (widths: Widths) => number;
  readonly default: (widths: Widths) => number;
}

export interface ChoiceParameter extends ParameterBase {
  readonly type: 'choice';
  readonly values: readonly string[];
  readonly default: string;
}

export type GeneratorParameter = IntegerParameter | ChoiceParameter;
export type ParameterValues = Readonly<Record<string, number | string>>;

export interface Generator {
  readonly name: string;
  readonly summary: string;
  readonly signed: boolean;
  readonly exact: boolean;
  readonly parameters: readonly GeneratorParameter[];
  readonly source: string;
  readonly build: (widths: Widths, values: ParameterValues) => Generated;
}

const columnsParameter = (meaning: string): IntegerParameter => ({
  name: 'columns',
  meaning,
  type: 'integer',
  minimum: 0,
  maximum: ({ weightBits, activationBits }) => weightBits + activationBits - 1,
  default: ({ weightBits, activationBits }) => Math.floor((weightBits + activationBits) / 2) - 2,
});

const compensation: ChoiceParameter = {
  name: 'compensation',
  meaning: 'a constant for what is left out: its mean over uniform operands',
  type: 'choice',
  values: ['none', 'constant'],
  default: 'none',
};

const upperParameter = (operand: 'weight' | 'activation'): IntegerParameter => ({
  name: `${operand}s`,
  meaning: `upper bits of the ${operand} that are multiplied`,
  type: 'integer',
  minimum: 1,
  maximum: (widths) => widths[`${operand}Bits`],
  default: (widths) => Math.ceil(widths[`${operand}Bits`] / 2),
});

const product: Formula = (w, x) => w * x;

function exact(
  name: string,
  summary: string,
  source: string,
  generator: (weightBits: number, activationBits: number) => Network,
  signed = false,
): Generator {
  const build = ({ weightBits, activationBits }: Widths) => ({
    network: generator(weightBits, activationBits),
    formula: product,
  });
  return { name, summary, signed, exact: true, parameters: [], source, build };
}

function approximate(
  name: string,
  summary: string,
  source: string,
  parameters: readonly GeneratorParameter[],
  build: Generator['build'],
): Generator {
  return { name, summary, signed: false, exact: false, parameters, source, build };
}

/** The families of multipliers by the name that `generate` takes. */
export const generators: Readonly<Record<string, Generator>> = {
  array: exact(
    'array',
    'exact; the compressor array that the mapping starts from',
    'C. Meng et al., TRAM, DAC 2026',
    arrayMultiplier,
  ),
  wallace: exact('Wallace', 'exact; Wallace tree', 'C. S. Wallace, IEEE TEC 1964', wallaceMultiplier),
  dadda: exact('Dadda', 'exact; Dadda tree', 'L. Dadda, Alta Frequenza 1965', daddaMultiplier),
  compact: exact(
    'compact',
    'exact; column by column the three earliest bits, the fewest half adders',
    'V. G. Oklobdzija, D. Villeger and S. S. Liu, IEEE TC 1996',
    compactMultiplier,
  ),
  'baugh-wooley': exact(
    'Baugh-Wooley',
    'exact, signed; complemented partial products in a Dadda tree',
    'C. R. Baugh and B. A. Wooley, IEEE TC 1973',
    baughWooleyMultiplier,
    true,
  ),
  booth: exact(
    'Booth radix-4',
    'exact, signed; one operand recoded, half as many rows',
    'O. L. MacSorley, Proc. IRE 1961',
    boothMultiplier,
    true,
  ),
  truncated: approximate(
    'truncated',
    'without the lowest columns of partial products',
    'M. J. Schulte and E. E. Swartzlander, VLSI Signal Processing 1993',
    [columnsParameter('columns left out'), compensation],
    ({ weightBits, activationBits }, { columns, compensation }) =>
      truncated(weightBits, activationBits, columns as number, compensation === 'constant'),
  ),
  upper: approximate(
    'upper bits',
    'exact product of the upper bits of either operand: truncated operands in a wide data path',
    'the exact multiplier of fewer bits',
    [upperParameter('weight'), upperParameter('activation'), compensation],
    ({ weightBits, activationBits }, { weights, activations, compensation }) =>
      upperBits(
        weightBits,
        activationBits,
        { weights: weights as number, activations: activations as number },
        compensation === 'constant',
      ),
  ),
  'broken-array': approximate(
    'broken array (BAM)',
    'without the cells of the first rows and of the lowest columns',
    'H. R. Mahdiani et al., IEEE TCAS-I 2010',
    [
      {
        name: 'rows',
        meaning: 'horizontal break level: rows of the lowest activation bits left out',
        type: 'integer',
        minimum: 0,
        maximum: ({ activationBits }) => activationBits,
        default: () => 1,
      },
      columnsParameter('vertical break level: columns left out'),
    ],
    ({ weightBits, activationBits }, { rows, columns }) =>
      brokenArray(weightBits, activationBits, rows as number, columns as number),
  ),
  'lower-part-or': approximate(
    'lower-part OR',
    'the OR of each low column instead of its sum',
    'H. R. Mahdiani et al., IEEE TCAS-I 2010',
    [columnsParameter('columns that are merged by OR')],
    ({ weightBits, activationBits }, { columns }) => lowerPartOr(weightBits, activationBits, columns as number),
  ),
  drum: approximate(
    'DRUM',
    'exact product of the leading bits of each operand, unbiased',
    'S. Hashemi et al., ICCAD 2015',
    [
      {
        name: 'bits',
        meaning: 'bits taken of each operand from its leading one on',
        type: 'integer',
        minimum: 2,
        maximum: ({ weightBits, activationBits }) => Math.max(weightBits, activationBits),
        default: ({ weightBits, activationBits }) => Math.max(2, Math.floor(Math.max(weightBits, activationBits) / 2)),
      },
    ],
    ({ weightBits, activationBits }, { bits }) => drum(weightBits, activationBits, bits as number),
  ),
  mitchell: approximate(
    'Mitchell',
    'logarithmic: linear interpolation between powers of two',
    'J. N. Mitchell, IRE TEC 1962',
    [],
    ({ weightBits, activationBits }) => mitchell(weightBits, activationBits),
  ),
  roba: approximate(
    'RoBA',
    'operands rounded to powers of two; shifts and two additions',
    'R. Zendegani et al., IEEE TVLSI 2017',
    [],
    ({ weightBits, activationBits }) => roba(weightBits, activationBits),
  ),
  kulkarni: approximate(
    '2×2 blocks (Kulkarni)',
    'made of 2×2-bit blocks with 3 · 3 = 7',
    'P. Kulkarni et al., VLSI Design 2011',
    [],
    ({ weightBits, activationBits }) => underdesignedBlocks(weightBits, activationBits),
  ),
  compressor: approximate(
    'approximate 4:2 compressors',
    'approximate 4:2 compressors in the low columns',
    'A. Momeni et al., IEEE TC 2015; S. Venkatachalam and S.-B. Ko, IEEE TVLSI 2017',
    [
      columnsParameter('columns that use approximate compressors'),
      {
        name: 'compressor',
        meaning: 'the published cell',
        type: 'choice',
        values: Object.keys(compressors),
        default: 'momeni',
      },
    ],
    ({ weightBits, activationBits }, { columns, compressor }) =>
      compressorMultiplier(weightBits, activationBits, columns as number, compressor as CompressorName),
  ),
};

export interface GenerateOptions extends Widths {
  /** Parameters of the kind; those that are not given take their default. */
  readonly [parameter: string]: number | string;
}

export interface GeneratedMultiplier extends Generated {
  readonly name: string;
  readonly kind: string;
  readonly signed: boolean;
  readonly parameters: ParameterValues;
  /** The network before clean-up: every adder of the family's drawing, with the constants among its inputs. */
  readonly asBuilt: Network;
}

/**
 * Throws a UserError for an unknown kind or parameter (with the nearest and the valid ones) or a value out of range.
 */
export function generate(kind: string, options: GenerateOptions): GeneratedMultiplier {
  const generator = Object.hasOwn(generators, kind) ? generators[kind]! : null;
  if (!generator) {
    const kinds = Object.keys(generators);
    const exact = kinds.filter((name) => generators[name]!.exact);
    const meant = kind === 'exact' ? ` (those that are exact: ${exact.join(', ')})` : didYouMean(kind, kinds);
    throw new UserError(`unknown generator "${clipped(kind, 60)}"${meant}: expected one of ${kinds.join(', ')}`);
  }
  const { weightBits, activationBits, ...given } = options;
  checkNetlistBits(weightBits, activationBits);
  const known = generator.parameters.map(({ name }) => name);
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new UserError(
      `${kind} has no parameter "${clipped(name, 60)}"${didYouMean(name, known)}: expected ${known.length > 0 ? `one of ${known.join(', ')}` : 'none, it takes the widths only'}`,
    );
  }
  const widths = { weightBits, activationBits };
  const values = Object.fromEntries(
    generator.parameters.map((parameter) => [
      parameter.name,
      parameterValue(kind, parameter, given[parameter.name], widths),
    ]),
  );
  const { network, formula } = generator.build(widths, values);
  const name = moduleName(kind, widths, values);
  const clean = cleanUp(network, new Map(), name);
  return { name, kind, signed: generator.signed, parameters: values, network: clean, asBuilt: network, formula };
}

/**
 * Kind, widths and all parameters as one identifier of BLIF, Verilog and C: `truncated_8x8_columns6_compensation_none`.
 */
function moduleName(kind: string, { weightBits, activationBits }: Widths, values: ParameterValues): string {
  const parameters = Object.entries(values).map(
    ([name, value]) => `${name}${typeof value === 'number' ? '' : '_'}${value}`,
  );
  return [kind, `${weightBits}x${activationBits}`, ...parameters].join('_').replaceAll('-', '_');
}

function parameterValue(
  kind: string,
  parameter: GeneratorParameter,
  given: number | string | undefined,
  widths: Widths,
): number | string {
  const refuse = (expected: string): never => {
    throw new UserError(`${kind}: ${parameter.name} is ${clipped(JSON.stringify(given), 60)}: expected ${expected}`);
  };
  if (parameter.type === 'choice') {
    if (given === undefined) return parameter.default;
    return parameter.values.includes(`${given}`) ? `${given}` : refuse(`one of ${parameter.values.join(', ')}`);
  }
  const [minimum, maximum] = [parameter.minimum, parameter.maximum(widths)];
  if (given === undefined) return Math.min(maximum, Math.max(minimum, parameter.default(widths)));
  const value = typeof given === 'string' && /^\d{1,9}$/.test(given) ? Number(given) : given;
  if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum) return value;
  return refuse(`an integer from ${minimum} to ${maximum} at ${widths.weightBits}×${widths.activationBits}`);
}

const SPEC = /^([a-z][a-z0-9-]{0,40}):(\d{1,3})[x×](\d{1,3})(?::([^\s:]{1,300}))?$/;

/**
 * Whether a text has the form of a generator spec, e.g. `dadda:8x8` or `truncated:8x8:columns=6,compensation=constant`.
 */
export function isGeneratorSpec(text: string): boolean {
  return SPEC.test(text);
}

/** Whether a text that is no spec was meant as one: it begins with a kind, but its widths are missing or wrong. */
export function meantAsGenerator(text: string): boolean {
  return !isGeneratorSpec(text) && Object.hasOwn(generators, text.split(':')[0]!);
}

/** Generates what a spec names; weight bits come first. */
export function generateFromSpec(spec: string): GeneratedMultiplier {
  const match = SPEC.exec(spec);
  if (!match) {
    throw new UserError(
      `cannot read the generator ${JSON.stringify(spec.slice(0, 80))}: expected kind:8x8 or kind:8x8:name=value,name=value with a kind of ${Object.keys(generators).join(', ')}`,
    );
  }
  const options: Record<string, number | string> = {};
  for (const pair of match[4]?.split(',') ?? []) {
    const [name, value, ...rest] = pair.split('=');
    if (!name || !value || rest.length > 0 || name === 'weightBits' || name === 'activationBits') {
      throw new UserError(
        `cannot read ${JSON.stringify(pair.slice(0, 80))} in the parameters of a generator: expected name=value`,
      );
    }
    options[name] = value;
  }
  return generate(match[1]!, { ...options, weightBits: Number(match[2]), activationBits: Number(match[3]) });
}
