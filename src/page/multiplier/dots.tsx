// The dot diagram as the report has it, in the colours of the page: the same marks, made by the same code.

import { useEffect, useRef } from 'preact/hooks';
import { type DotDiagram, dotDiagramSvg } from '../../report/dots.ts';
import { Scroll } from '../scroll.tsx';

export function Dots({ dots, label }: { readonly dots: DotDiagram; readonly label: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The text is ours, of numbers alone; as a document of its own it can run nothing.
    const { documentElement } = new DOMParser().parseFromString(dotDiagramSvg(dots), 'image/svg+xml');
    place.current?.replaceChildren(document.importNode(documentElement, true));
  }, [dots]);
  return (
    <Scroll label={`${label}, can be scrolled`}>
      <div class="dots" ref={place} role="img" aria-label={`${label}: ${inWords(dots)}`} />
    </Scroll>
  );
}

export function inWords({ partialProducts, adders }: DotDiagram): string {
  const kept = partialProducts.filter((product) => product.kept).length;
  const full = adders.filter((adder) => adder.kept && adder.kind === 'full').length;
  const half = adders.filter((adder) => adder.kept && adder.kind === 'half').length;
  return `${kept} of ${partialProducts.length} partial products, ${full} full and ${half} half adders`;
}
