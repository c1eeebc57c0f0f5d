// Softmax cross-entropy over rows of logits in f64; rows with a negative label are ignored. Parts are runs of rows; the
// losses and hits of the rows are summed in order by a second step.

@unmanaged
export class Loss {
  logits: usize;
  labels: usize;
  probabilities: usize;
  /** f64 [rows]: loss of each row, 0 where ignored; then i32 [rows]: 1 where the first maximum is the label. */
  rowLosses: usize;
  loss: usize;
  correct: usize;
  g: usize;
  gradient: usize;
  rows: i32;
  classes: i32;
  rowsPerPart: i32;
  /** Of the labels: what the target of every class has of it, in all. */
  smoothing: f32;
}

export function softmaxRows(args: Loss, part: i32, scratch: usize): void {
  const classes = args.classes;
  const first = part * args.rowsPerPart;
  const end = min(args.rows, first + args.rowsPerPart);
  for (let row = first; row < end; ++row) {
    const logits = args.logits + (<usize>(row * classes) << 2);
    const out = args.probabilities + (<usize>(row * classes) << 2);
    let highest = load<f32>(logits);
    let best = 0;
    for (let c = 1; c < classes; ++c) {
      const value = load<f32>(logits + (<usize>c << 2));
      if (value > highest) {
        highest = value;
        best = c;
      }
    }
    let sum: f64 = 0;
    for (let c = 0; c < classes; ++c) sum += exponential(logits, c, highest);
    for (let c = 0; c < classes; ++c) store<f32>(out + (<usize>c << 2), <f32>(exponential(logits, c, highest) / sum));
    const label = load<i32>(args.labels + (<usize>row << 2));
    let loss: f64 = 0;
    if (label >= 0) {
      let target = <f64>load<f32>(logits + (<usize>label << 2));
      if (args.smoothing > 0) {
        let all: f64 = 0;
        for (let c = 0; c < classes; ++c) all += <f64>load<f32>(logits + (<usize>c << 2));
        target += <f64>args.smoothing * (all / <f64>classes - target);
      }
      loss = Math.log(sum) + (<f64>highest - target);
    }
    store<f64>(args.rowLosses + (<usize>row << 3), loss);
    store<i32>(args.rowLosses + (<usize>args.rows << 3) + (<usize>row << 2), best == label ? 1 : 0);
  }
}

@inline
function exponential(logits: usize, c: i32, highest: f32): f64 {
  return Math.exp(<f64>load<f32>(logits + (<usize>c << 2)) - <f64>highest);
}

/** max(1, number of rows with a label) */
function labelled(args: Loss): f64 {
  let count = 0;
  for (let row = 0; row < args.rows; ++row) count += load<i32>(args.labels + (<usize>row << 2)) >= 0 ? 1 : 0;
  return <f64>max(1, count);
}

export function meanLoss(args: Loss, part: i32, scratch: usize): void {
  let sum: f64 = 0;
  let hits = 0;
  for (let row = 0; row < args.rows; ++row) {
    sum += load<f64>(args.rowLosses + (<usize>row << 3));
    hits += load<i32>(args.rowLosses + (<usize>args.rows << 3) + (<usize>row << 2));
  }
  store<f32>(args.loss, <f32>(sum / labelled(args)));
  store<f32>(args.correct, <f32>hits);
}

export function softmaxGradient(args: Loss, part: i32, scratch: usize): void {
  const factor = <f64>load<f32>(args.g) / labelled(args);
  const first = part * args.rowsPerPart;
  const end = min(args.rows, first + args.rowsPerPart);
  for (let row = first; row < end; ++row) {
    const label = load<i32>(args.labels + (<usize>row << 2));
    for (let c = 0; c < args.classes; ++c) {
      const at = <usize>(row * args.classes + c) << 2;
      const target = (c == label ? 1 - <f64>args.smoothing : 0) + <f64>args.smoothing / <f64>args.classes;
      const gradient = label < 0 ? 0 : factor * (<f64>load<f32>(args.probabilities + at) - target);
      store<f32>(args.gradient + at, <f32>gradient);
    }
  }
}
