'use strict';

/* Which boxes are open. */

const UNITS_AT_FIRST = 300;

/* As para_svg_open() has it: scopes above a depth, and of equal ones the first; parts and the rest are
 * closed, and runs of what is in those. */
function openToDepth(outline, fold) {
  const open = new Uint8Array(outline.count);
  for (let b = 0; b < outline.count; b++)
    switch (outline.kind[b]) {
      case Kind.SCOPE:
      case Kind.REPEAT:
        open[b] = outline.scopes[b] + 1 < fold ? 1 : 0;
        break;
      case Kind.PARTS:
      case Kind.REST:
        break;
      case Kind.RUN:
        open[b] = open[outline.parent[b]];
        break;
      default:
        open[b] = 1;
    }
  return open;
}

/* How many closed boxes are shown. */
function countUnits(outline, open) {
  let units = 0;
  for (let b = 1, opens; b < outline.count; b = opens ? b + 1 : outline.end[b]) {
    opens = open[b] !== 0 && outline.end[b] > b + 1;
    units += opens ? 0 : 1;
  }
  return units;
}

/* As much as a person can take in at once. */
function openAtFirst(outline) {
  for (let fold = 2; fold > 0; fold--) {
    const open = openToDepth(outline, fold);
    if (countUnits(outline, open) <= UNITS_AT_FIRST)
      return open;
  }
  return new Uint8Array(outline.count);
}
