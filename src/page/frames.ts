// Work that takes a good part of a frame, done one piece a frame: pictures of hundreds of curves that change at once
// are drawn one after the other, and the page answers in between. Of an owner's pieces the last one counts.

const waiting = new Map<object, () => void>();
let due = 0;

export function inTurn(owner: object, work: () => void): void {
  waiting.set(owner, work);
  if (due === 0) due = requestAnimationFrame(next);
}

export function outOfTurn(owner: object): void {
  waiting.delete(owner);
}

function next(): void {
  const [first] = waiting;
  due = waiting.size > 1 ? requestAnimationFrame(next) : 0;
  if (!first) return;
  waiting.delete(first[0]);
  first[1]();
}
