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

/** table[code]: a are codes u8, b is the table */
export function lookUp(args: Elementwise, part: i32, scratch: usize): void {
  const stop = end(args, part);
  for (let at = first(args, part); at < stop; at += 4) {
    const code = <usize>load<u8>(args.a + (at >> 2));
    store<f32>(args.out + at, load<f32>(args.b + (code << 2)));
  }
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
  /** 1: Nesterov's momentum. */
  nesterov: i32;
}

/**
 * velocity ← momentum·velocity + gradient + weightDecay·parameter; parameter ← parameter − rate·velocity, or −
 * rate·(gradient + weightDecay·parameter + momentum·velocity)
 */
export function sgd(args: Sgd, part: i32, scratch: usize): void {
  const rate = load<f32>(args.rate);
  let at = <usize>(part * args.perPart) << 2;
  const stop = <usize>min(args.count, (part + 1) * args.perPart) << 2;
  for (; at + 16 <= stop; at += 16) {
    const p = v128.load(args.parameter + at);
    const decayed = f32x4.add(v128.load(args.gradient + at), f32x4.mul(f32x4.splat(args.weightDecay), p));
    const v = f32x4.add(f32x4.mul(f32x4.splat(args.momentum), v128.load(args.velocity + at)), decayed);
    const d = args.nesterov == 1 ? f32x4.add(decayed, f32x4.mul(f32x4.splat(args.momentum), v)) : v;
    v128.store(args.newVelocity + at, v);
    v128.store(args.newParameter + at, f32x4.sub(p, f32x4.mul(f32x4.splat(rate), d)));
  }
  for (; at < stop; at += 4) {
    const p = load<f32>(args.parameter + at);
    const decayed = load<f32>(args.gradient + at) + args.weightDecay * p;
    const v = args.momentum * load<f32>(args.velocity + at) + decayed;
    const d = args.nesterov == 1 ? decayed + args.momentum * v : v;
    store<f32>(args.newVelocity + at, v);
    store<f32>(args.newParameter + at, p - rate * d);
  }
}

@unmanaged
export class Adam {
  parameter: usize;
  gradient: usize;
  mean: usize;
  square: usize;
  rate: usize;
  /** 1 − β1ᵗ, 1 − β2ᵗ. */
  corrections: usize;
  newParameter: usize;
  newMean: usize;
  newSquare: usize;
  count: i32;
  perPart: i32;
  beta1: f32;
  /** 1 − β1, rounded by itself; likewise below. */
  rest1: f32;
  beta2: f32;
  rest2: f32;
  epsilon: f32;
  /** Of the gradient. */
  weightDecay: f32;
  /** Of the parameter. */
  ownDecay: f32;
}

/** See graph/ops.ts. */
export function adam(args: Adam, part: i32, scratch: usize): void {
  const rate = load<f32>(args.rate);
  const kept: f32 = <f32>1 - rate * args.ownDecay;
  const step = rate / load<f32>(args.corrections);
  const root = sqrt<f32>(load<f32>(args.corrections, 4));
  let at = <usize>(part * args.perPart) << 2;
  const stop = <usize>min(args.count, (part + 1) * args.perPart) << 2;
  for (; at + 16 <= stop; at += 16) {
    const p = v128.load(args.parameter + at);
    const d = f32x4.add(v128.load(args.gradient + at), f32x4.mul(f32x4.splat(args.weightDecay), p));
    const m = f32x4.add(
      f32x4.mul(f32x4.splat(args.beta1), v128.load(args.mean + at)),
      f32x4.mul(f32x4.splat(args.rest1), d),
    );
    const s = f32x4.add(
      f32x4.mul(f32x4.splat(args.beta2), v128.load(args.square + at)),
      f32x4.mul(f32x4.splat(args.rest2), f32x4.mul(d, d)),
    );
    const below = f32x4.add(f32x4.div(f32x4.sqrt(s), f32x4.splat(root)), f32x4.splat(args.epsilon));
    const moved = f32x4.div(f32x4.mul(f32x4.splat(step), m), below);
    v128.store(args.newMean + at, m);
    v128.store(args.newSquare + at, s);
    v128.store(args.newParameter + at, f32x4.sub(f32x4.mul(f32x4.splat(kept), p), moved));
  }
  for (; at < stop; at += 4) {
    const p = load<f32>(args.parameter + at);
    const d = load<f32>(args.gradient + at) + args.weightDecay * p;
    const m = args.beta1 * load<f32>(args.mean + at) + args.rest1 * d;
    const s = args.beta2 * load<f32>(args.square + at) + args.rest2 * (d * d);
    store<f32>(args.newMean + at, m);
    store<f32>(args.newSquare + at, s);
    store<f32>(args.newParameter + at, kept * p - (step * m) / (sqrt<f32>(s) / root + args.epsilon));
  }
}

@unmanaged
export class Averaging {
  average: usize;
  value: usize;
  keep: usize;
  newAverage: usize;
  count: i32;
  perPart: i32;
}

/** average ← keep·average + (1 − keep)·value */
export function movingAverage(args: Averaging, part: i32, scratch: usize): void {
  const keep = load<f32>(args.keep);
  const take: f32 = <f32>1 - keep;
  let at = <usize>(part * args.perPart) << 2;
  const stop = <usize>min(args.count, (part + 1) * args.perPart) << 2;
  for (; at + 16 <= stop; at += 16) {
    const kept = f32x4.mul(f32x4.splat(keep), v128.load(args.average + at));
    v128.store(args.newAverage + at, f32x4.add(kept, f32x4.mul(f32x4.splat(take), v128.load(args.value + at))));
  }
  for (; at < stop; at += 4) {
    store<f32>(args.newAverage + at, keep * load<f32>(args.average + at) + take * load<f32>(args.value + at));
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
