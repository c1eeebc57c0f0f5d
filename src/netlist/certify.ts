// The certificate of a multiplier: its network, its BLIF and Verilog texts (read back as any other tool would) and its
// table compute the same product for every operand pair. Nothing may use a multiplier before this has passed.
// Invariant: `forms` names what was compared, and nothing that was not; a table alone has nothing to be compared with.

import { createHash } from 'node:crypto';
import { firstDifference, operandValue, type ProductTable } from '../multiplier/table.ts';
import { UserError } from '../tensor/errors.ts';
import { readBlif } from './blif/read.ts';
import { writeBlif } from './blif/write.ts';
import { writeNpy } from './formats/npy.ts';
import type { Network } from './network.ts';
import { simulate } from './simulate.ts';
import { readVerilog } from './verilog/read.ts';
import { writeVerilog } from './verilog/write.ts';

/** The forms that a multiplier can be had in. */
export const certifiedForms = ['netlist', 'blif', 'verilog', 'table'] as const;
export type CertifiedForm = (typeof certifiedForms)[number];

const formTitles: Record<CertifiedForm, string> = {
  netlist: 'netlist',
  blif: 'BLIF',
  verilog: 'Verilog',
  table: 'table',
};

export interface Certificate {
  /** What was compared, product by product; the table alone where there was nothing to compare it with. */
  readonly forms: readonly CertifiedForm[];
  /** Operand pairs of each form: all of them. */
  readonly pairs: number;
  /** SHA-256 in hexadecimal of the texts (UTF-8) and of the table in .npy form. */
  readonly sha256: { readonly blif?: string; readonly verilog?: string; readonly table: string };
}

/** Whether anything was proved: two forms at least were compared. */
export function isProof({ forms }: Pick<Certificate, 'forms'>): boolean {
  return forms.length > 1;
}

/**
 * "netlist ≡ BLIF ≡ Verilog ≡ table over 65 536 operand pairs", or "table, 65 536 entries; no netlist" where nothing
 * was compared.
 */
export function describeCertificate(certificate: Pick<Certificate, 'forms' | 'pairs'>): string {
  const { forms, pairs } = certificate;
  const count = String(pairs).replace(/\B(?=(\d{3})+$)/g, ' ');
  const names = forms.map((form) => formTitles[form]).join(' ≡ ');
  return isProof(certificate) ? `${names} over ${count} operand pairs` : `${names}, ${count} entries; no netlist`;
}

/** The certificate of a multiplier that is known by its table alone: it names the table, and proves nothing. */
export function certifyTable(table: ProductTable): Certificate {
  return { forms: ['table'], pairs: table.data.length, sha256: { table: sha256(writeNpy(table)) } };
}

export interface Artefacts {
  readonly network: Network;
  readonly table: ProductTable;
  /** The texts as they are or will be on disk; written from the network when absent. */
  readonly blif?: string;
  readonly verilog?: string;
}

/** Throws a UserError that names the first operand pair on which two artefacts differ. */
export function certify(artefacts: Artefacts): Certificate {
  const { network, table, blif = writeBlif(network), verilog = writeVerilog(network) } = artefacts;
  const circuits = {
    'the network': network,
    'the BLIF text': readBlif(blif, { file: `${network.name}.blif` }).network,
    'the Verilog text': readVerilog(verilog, { file: `${network.name}.v` }).network,
  };
  for (const [name, circuit] of Object.entries(circuits)) {
    const products = simulate(circuit, { signed: table.signed });
    if (products.weightBits !== table.weightBits || products.activationBits !== table.activationBits) {
      throw new UserError(
        `${name} of "${network.name}" is a ${products.weightBits}×${products.activationBits} multiplier: expected ` +
          `${table.weightBits}×${table.activationBits} as its table`,
      );
    }
    const difference = firstDifference(products, table);
    if (difference) throw new UserError(describeDifference(name, network.name, products, table, difference));
  }
  return {
    forms: certifiedForms,
    pairs: table.data.length,
    sha256: { blif: sha256(blif), verilog: sha256(verilog), table: sha256(writeNpy(table)) },
  };
}

function describeDifference(
  what: string,
  multiplier: string,
  products: ProductTable,
  table: ProductTable,
  { w, x }: { w: number; x: number },
): string {
  const pair = w * 2 ** table.activationBits + x;
  const operands = [
    operandValue(w, table.weightBits, table.signed),
    operandValue(x, table.activationBits, table.signed),
  ];
  return (
    `${what} of "${multiplier}" differs from its table first at ${operands.join(' × ')}: ${products.data[pair]}, expected ` +
    `${table.data[pair]}; the artefacts do not belong together, map the multiplier again`
  );
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
