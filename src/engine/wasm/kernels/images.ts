// Batches of images gathered from a data set in memory, moved and mirrored, and images mixed within a batch. One part
// per image of the batch; values of a pixel lie together.

@unmanaged
export class Gathering {
  images: usize;
  picks: usize;
  out: usize;
  height: i32;
  width: i32;
  channels: i32;
}

export function gatherImages(args: Gathering, part: i32, scratch: usize): void {
  const pick = args.picks + (<usize>part << 4);
  const number = load<i32>(pick);
  const dy = load<i32>(pick, 4);
  const dx = load<i32>(pick, 8);
  const mirrored = load<i32>(pick, 12) == 1;
  const pixel = <usize>args.channels;
  const row = <usize>args.width * pixel;
  const bytes = <usize>args.height * row;
  const out = args.out + <usize>part * bytes;
  memory.fill(out, 0, bytes);
  if (number < 0) return;
  const image = args.images + <usize>number * bytes;
  const firstY = max(0, -dy);
  const lastY = min(args.height, args.height - dy);
  const firstX = max(0, -dx);
  const lastX = min(args.width, args.width - dx);
  if (firstX >= lastX) return;
  for (let y = firstY; y < lastY; ++y) {
    const from = image + <usize>(y + dy) * row;
    const to = out + <usize>y * row;
    if (mirrored) {
      for (let x = firstX; x < lastX; ++x) {
        memory.copy(to + <usize>(args.width - 1 - x) * pixel, from + <usize>(x + dx) * pixel, pixel);
      }
    } else {
      memory.copy(to + <usize>firstX * pixel, from + <usize>(firstX + dx) * pixel, <usize>(lastX - firstX) * pixel);
    }
  }
}

@unmanaged
export class Mixing {
  x: usize;
  boxes: usize;
  share: usize;
  out: usize;
  height: i32;
  width: i32;
  channels: i32;
}

/** Of an image: inside its box its partner, outside share·x + (1 − share)·partner. See graph/ops.ts. */
export function mixImages(args: Mixing, part: i32, scratch: usize): void {
  const box = args.boxes + <usize>part * 20;
  const partner = load<i32>(box);
  const top = load<i32>(box, 4);
  const left = load<i32>(box, 8);
  const bottom = top + load<i32>(box, 12);
  const right = left + load<i32>(box, 16);
  const share = load<f32>(args.share);
  const values = args.height * args.width * args.channels;
  const from = args.x + (<usize>part * <usize>values << 2);
  const other = args.x + (<usize>max(0, partner) * <usize>values << 2);
  const to = args.out + (<usize>part * <usize>values << 2);
  let at: usize = 0;
  for (let y = 0; y < args.height; ++y) {
    for (let x = 0; x < args.width; ++x) {
      const inside = y >= top && y < bottom && x >= left && x < right;
      for (let c = 0; c < args.channels; ++c) {
        const theirs: f32 = partner < 0 ? 0 : load<f32>(other + at);
        store<f32>(to + at, inside ? theirs : share * load<f32>(from + at) + (<f32>1 - share) * theirs);
        at += 4;
      }
    }
  }
}
