// Operations on elements in the order of memory: no layout but f32, a part is a run of `perPart` elements (a multiple
// of 4). The last elements of a tensor that do not fill a vector are computed one by one. Outputs may share storage
// with an input of the same position.

@unmanaged
export class Elementwise {
  out: usize;
  a: usize;
  b: usize;
  count: i32;
  perPart: i32;
  alpha: f32;
  beta: f32;
}

@inline
function first(args: Elementwise, part: i32): usize {
  return <usize>(part * args.perPart) << 2;
}

@inline
function end(args: Elementwise, part: i32): usize {
  return <usize>min(args.count, (part + 1) * args.perPart) << 2;
}

/** alpha·a + beta·b */
export function add(args: Elementwise, part: i32, scratch: usize): void {
  const alpha = f32x4.splat(args.alpha);
  const beta = f32x4.splat(args.beta);
  let at = first(args, part);
  const stop = end(args, part);
  for (; at + 16 <= stop; at += 16) {
    const sum = f32x4.add(f32x4.mul(alpha, v128.load(args.a + at)), f32x4.mul(beta, v128.load(args.b + at)));
    v128.store(args.out + at, sum);
  }
  for (; at < stop; at += 4) {
    store<f32>(args.out + at, args.alpha * load<f32>(args.a + at) + args.beta * load<f32>(args.b + at));
  }
}

/** alpha·a + beta, constants */
export function affine(args: Elementwise, part: i32, scratch: usize): void {
  const alpha = f32x4.splat(args.alpha);
  const beta = f32x4.splat(args.beta);
  let at = first(args, part);
  const stop = end(args, part);
  for (; at + 16 <= stop; at += 16) v128.store(args.out + at, f32x4.add(f32x4.mul(alpha, v128.load(args.a + at)), beta));
  for (; at < stop; at += 4) store<f32>(args.out + at, args.alpha * load<f32>(args.a + at) + args.beta);
}

@unmanaged
export class Sgd {
  parameter: usize;
  gradient: usize;
  velocity: usize;
  rate: usize;
  newParameter: usize;
  newVelocity: usize;
  count: i32;
  perPart: i32;
  momentum: f32;
  weightDecay: f32;
}

/** velocity ← momentum·velocity + gradient + weightDecay·parameter; parameter ← parameter − rate·velocity */
export function sgd(args: Sgd, part: i32, scratch: usize): void {
  const rate = load<f32>(args.rate);
  let at = <usize>(part * args.perPart) << 2;
  const stop = <usize>min(args.count, (part + 1) * args.perPart) << 2;
  for (; at + 16 <= stop; at += 16) {
    const p = v128.load(args.parameter + at);
    const decayed = f32x4.add(v128.load(args.gradient + at), f32x4.mul(f32x4.splat(args.weightDecay), p));
    const v = f32x4.add(f32x4.mul(f32x4.splat(args.momentum), v128.load(args.velocity + at)), decayed);
    v128.store(args.newVelocity + at, v);
    v128.store(args.newParameter + at, f32x4.sub(p, f32x4.mul(f32x4.splat(rate), v)));
  }
  for (; at < stop; at += 4) {
    const p = load<f32>(args.parameter + at);
    const v = args.momentum * load<f32>(args.velocity + at) + (load<f32>(args.gradient + at) + args.weightDecay * p);
    store<f32>(args.newVelocity + at, v);
    store<f32>(args.newParameter + at, p - rate * v);
  }
}

@unmanaged
export class Copy {
  to: usize;
  from: usize;
  bytes: i32;
  perPart: i32;
}

/** Bytes of one place to another that does not overlap it. */
export function copy(args: Copy, part: i32, scratch: usize): void {
  const at = part * args.perPart;
  memory.copy(args.to + at, args.from + at, min(args.perPart, args.bytes - at));
}

@unmanaged
export class Fill {
  to: usize;
  bytes: usize;
  value: i32;
}

/** Every byte the same. One part. */
export function fill(args: Fill, part: i32, scratch: usize): void {
  memory.fill(args.to, <u8>args.value, args.bytes);
}
