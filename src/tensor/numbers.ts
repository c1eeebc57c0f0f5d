// Numbers as people read them, one form on every screen, page and figure: thousands in groups, a true minus sign, per
// cent with a blank.

/** 65536 → "65 536", −1500 → "−1 500"; rounded to a whole number. */
export function grouped(count: number): string {
  return groupThousands(String(Math.round(count)));
}

/** 0.95123 → "95.12 %". */
export function percent(share: number, digits = 2): string {
  return `${withMinus((100 * share).toFixed(digits))} %`;
}

/** To so many significant digits, without trailing zeros: −391.7456 → "−391.7", 12345 → "12 350", 1e-9 → "1e−9". */
export function significant(value: number, digits = 4): string {
  return groupThousands(String(Number(value.toPrecision(digits))));
}

/** With so many decimals: 1234.5 → "1 234.50". */
export function fixed(value: number, decimals: number): string {
  return groupThousands(value.toFixed(decimals));
}

const withMinus = (text: string) => text.replaceAll('-', '−');

function groupThousands(text: string): string {
  return withMinus(text).replace(/\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ' '));
}

/** Seconds → "0.4 s", "42 s", "12 min 34 s", "3 h 05 min". */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${two(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** "64 MiB", "512 KiB", "100 bytes". */
export function formatBytes(count: number): string {
  const units = [
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
  ] as const;
  const unit = units.find(([size]) => count >= size);
  return unit ? `${Number((count / unit[0]).toFixed(1))} ${unit[1]}` : `${count} bytes`;
}
