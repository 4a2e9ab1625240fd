'use strict';

/* The state in the address: "#box=17&mark=between,3,9&open=...&at=0,120,0.8". What is opened or closed is a list of
 * boxes, as steps from one to the next, against what is open at first ("+", all or none: "all", "none"). */

function writeOpen(viewer) {
  const { open, atFirst, outline: o } = viewer, bases = { all: () => 1, none: () => 0, first: (b) => atFirst[b] };
  let shortest = null;
  for (const [name, base] of Object.entries(bases)) {
    const steps = [];
    let last = 0;
    for (const b of o.folding)
      if ((open[b] !== 0) !== (base(b) !== 0)) {
        steps.push((b - last).toString(36));
        last = b;
      }
    if (!shortest || steps.length < shortest.steps.length)
      shortest = { name, steps };
  }
  return [shortest.name, ...shortest.steps].join('.');
}

function readOpen(viewer, text) {
  const [name, ...steps] = text.split('.'), o = viewer.outline;
  const open = name === 'all' ? new Uint8Array(o.count).fill(1) : name === 'none' ? new Uint8Array(o.count)
    : viewer.atFirst.slice();
  let box = 0;
  for (const step of steps) {
    box += parseInt(step, 36) || 0;
    if (box < o.count)
      open[box] = open[box] ? 0 : 1;
  }
  return open;
}

/* Keeps the address as the state is, and the state as the address is when a reader goes back. */
class Address {
  constructor(viewer, camera, painter) {
    Object.assign(this, { viewer, camera, painter });
    this.reading = false;
    this.read();
    viewer.onChange((what) => {
      if (!this.reading && what !== 'arrival' && what !== 'path')
        this.#step();
    });
    addEventListener('popstate', () => this.read());
  }

  #text() {
    const { viewer, camera } = this, parts = [];
    if (viewer.selected > 0)
      parts.push(`box=${viewer.selected}`);
    if (viewer.gap >= 0)
      parts.push(`gap=${viewer.gap}`);
    if (viewer.value >= 0)
      parts.push(`value=${viewer.value}`);
    if (viewer.heat)
      parts.push('heat');
    if (viewer.mark)
      parts.push(`mark=${[viewer.mark.what, ...viewer.mark.of].join()}`);
    const open = writeOpen(viewer);
    if (open !== 'first')
      parts.push(`open=${open}`);
    parts.push(`at=${Math.round(camera.x)},${Math.round(camera.y)},${Number(camera.scale.toPrecision(3))}`);
    return `#${parts.join('&')}`;
  }

  /* What changes at once is one step back. */
  #step() {
    clearTimeout(this.stepping);
    this.stepping = setTimeout(() => this.#text() === location.hash || history.pushState(null, '', this.#text()));
  }

  /* The camera has moved: once it rests. */
  moved() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => history.replaceState(null, '', this.#text()), 400);
  }

  read() {
    const { viewer, camera } = this, fields = new URLSearchParams(location.hash.slice(1));
    const box = Number(fields.get('box')) || 0, mark = (fields.get('mark') || '').split(',');
    const at = (fields.get('at') || '').split(',').map(Number);
    const isBox = (number) => Number.isInteger(number) && number >= 0 && number < viewer.outline.count;
    this.reading = true;
    viewer.setOpen(readOpen(viewer, fields.get('open') || 'first'));
    viewer.select(isBox(box) ? viewer.shownOf(box) : 0);
    const gap = Number(fields.get('gap') || -1), gaps = viewer.data.run ? viewer.data.run.gaps.worker.length : 0;
    if (Number.isInteger(gap) && gap >= 0 && gap < gaps)
      viewer.selectGap(gap);
    const isValue = (number) => Number.isInteger(number) && number >= 0 && number < viewer.data.nValues;
    const value = Number(fields.get('value') || -1);
    if (isValue(value))
      viewer.selectValue(value);
    viewer.setHeat(fields.has('heat'));
    const of = mark.slice(1).map(Number);
    const known = { critical: 0, changed: 0, measured: 0, value: 1, before: 1, after: 1, between: 2 }[mark[0]];
    viewer.setMark(known === of.length && of.every(mark[0] === 'value' ? isValue : isBox) ? mark[0] : null, ...of);
    if (at.length === 3 && at.every(Number.isFinite) && at[2] > 0)
      [camera.x, camera.y, camera.scale] = [at[0], at[1], Math.min(LARGEST, Math.max(SMALLEST, at[2]))];
    this.reading = false;
    this.painter.request();
  }
}
