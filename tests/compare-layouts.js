/* Lay out drawings by the page's script and compare them with those of view/layout.c.
 * Usage: node compare-layouts.js DATA.JS LAYOUT.JS <DRAWINGS
 * A line of DRAWINGS is {"page": data of a page} or, of the page before it, {"open", "boxes", "runs", "waysOut"}: lists
 * of numbers by box and wire, what isn't shown being 0. Prints the number of drawings; exits 1 at the first difference. */
'use strict';
const fs = require('fs');
const vm = require('vm');

const sources = process.argv.slice(2).map((file) => fs.readFileSync(file, 'utf8')).join('\n');
const { decodeOutline, Layout } = vm.runInThisContext(`${sources}\n;({ decodeOutline, Layout })`);
const BOX_FIELDS = ['shown', 'x', 'y', 'w', 'h', 'title'];
const RUN_FIELDS = ['x', 'y', 'turn', 'entry', 'end', 'lane'];

function compare(what, fields, columns, isThere, expected, count) {
  for (let i = 0; i < count; i++)
    fields.forEach((field, f) => {
      const found = isThere(i) ? columns[field][i] : 0, wanted = expected[fields.length * i + f];
      if (found !== wanted) {
        console.log(`${what} ${i}: ${field} is ${found}, expected ${wanted}`);
        process.exit(1);
      }
    });
}

let outline = null, drawings = 0;
for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const given = JSON.parse(line);
  if (given.page) {
    outline = decodeOutline(given.page);
    continue;
  }
  const layout = new Layout(outline, Uint8Array.from(given.open));
  compare('box', BOX_FIELDS, layout, (b) => layout.shown[b], given.boxes, outline.count);
  compare('wire', RUN_FIELDS, layout.runs, (i) => layout.drawn[i], given.runs, outline.nWires);
  compare('way out of box', RUN_FIELDS, layout.waysOut, (b) => layout.waysOut.end[b], given.waysOut, outline.count);
  drawings++;
}
console.log(`${drawings} drawings are the same`);
