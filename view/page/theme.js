'use strict';

/* The colours of the style sheet, for the canvas: light, dark, or the reader's own. */

const THEME_COLOURS = ['page', 'text', 'faint', 'wire', 'accent', 'found', 'mark', 'forward', 'forward-line', 'backward',
  'backward-line', 'optimizer', 'optimizer-line', 'input', 'input-line', 'heat', 'idle', 'runtime', 'added', 'removed',
  'changed', 'faster'];
const THEME_QUERIES = ['(prefers-color-scheme: dark)', '(forced-colors: active)', '(prefers-contrast: more)'];

function readTheme() {
  const style = getComputedStyle(document.documentElement), theme = {};
  for (const name of THEME_COLOURS)
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  theme.forced = matchMedia('(forced-colors: active)').matches;
  return theme;
}

function onThemeChange(listener) {
  for (const query of THEME_QUERIES)
    matchMedia(query).addEventListener('change', listener);
}
