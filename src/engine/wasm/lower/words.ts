// The words that records are made of, as the generated ./records.ts packs them.

/** A byte address in the linear memory; 0 where a kernel does not read the field. */
export type Address = number;

/**
 * Words of a record in the order of its fields: addresses, integers, the bits of an f32, or a record that is placed by
 * itself.
 */
export type Words = readonly (number | Words)[];

const bits = new DataView(new ArrayBuffer(4));

/** The bits of a number rounded to f32, as a record's word. */
export function float(value: number): number {
  bits.setFloat32(0, value);
  return bits.getInt32(0);
}
