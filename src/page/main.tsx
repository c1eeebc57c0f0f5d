// Where the page begins: theme, source, and the views in it.

import { render } from 'preact';
import { App } from './app.tsx';
import { keep } from './kept.ts';
import { withDropped } from './multiplier/dropped.ts';
import { liveSource, storedIn, storedSource } from './source.ts';
import './style.css';
import './explorer.css';
import { applyTheme } from './theme.ts';

applyTheme();
const stored = storedIn(document);
// A copy begins with the view that it is a copy of.
if (stored && location.hash === '') location.hash = stored.view;
if (stored) keep(stored.kept);
const source = stored ? storedSource(stored) : withDropped(liveSource());
render(<App source={source} />, document.getElementById('page')!);
