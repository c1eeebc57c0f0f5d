// Where the page begins: theme, source, and the views in it.

import { render } from 'preact';
import { App } from './app.tsx';
import { sourceOf } from './source.ts';
import './style.css';
import './explorer.css';
import { applyTheme } from './theme.ts';

applyTheme();
render(<App source={sourceOf(document)} />, document.getElementById('page')!);
