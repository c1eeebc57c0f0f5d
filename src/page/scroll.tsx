// A part of the page that is wider or higher than its place: it scrolls by itself, and by the keys once it has the
// focus.

import type { ComponentChildren } from 'preact';

export function Scroll({
  label,
  isLow = false,
  children,
}: {
  readonly label: string;
  /** Not higher than some lines. */
  readonly isLow?: boolean;
  readonly children: ComponentChildren;
}) {
  return (
    // What scrolls must be reached by keys (WCAG 2.1.1)
    <section class={isLow ? 'scroll low' : 'scroll'} tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
