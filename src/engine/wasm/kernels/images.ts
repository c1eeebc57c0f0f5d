// Batches of images gathered from a data set in memory, moved and mirrored. One part per image of the batch; bytes of a
// pixel lie together.

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
