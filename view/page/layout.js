'use strict';

/* Where the boxes of an outline stand when some of them are open: view/layout.c, word for word. A test compares the
 * two on random outlines, so a change of one is a change of both. */

const GRID = 12, TRACK = 6, BOX_HEIGHT = 42, HEADER = 28, TURN = 8;
const GAP = 2 * GRID, SIGN = 18, CHANNEL_TOP = 10, CHANNEL_BOTTOM = 14;

function roundUp(x) {
  return Math.trunc((x + GRID - 1) / GRID) * GRID;
}

function makeRuns(count) {
  const runs = {};
  for (const field of ['x', 'y', 'turn', 'entry', 'end', 'lane'])
    runs[field] = new Int32Array(count);
  return runs;
}

class Layout {
  /* Lay out what is shown if the boxes that `open` says, by number, are open; box 0 always is. */
  constructor(outline, open) {
    const n = outline.count, most = outline.most + 3;
    this.o = outline;
    this.open = open;
    this.shown = new Uint8Array(n);
    for (const field of ['x', 'y', 'w', 'h', 'title', 'exit'])
      this[field] = new Int32Array(n);
    this.runs = makeRuns(outline.nWires);
    this.waysOut = makeRuns(n);
    this.drawn = new Uint8Array(outline.nWires);
    this.lane = new Int32Array(outline.nWires);
    this.row = new Int32Array(most);
    this.height = new Int32Array(most);
    this.channels = Array.from({ length: most }, () => ({}));
    this.sources = new Int32Array(n + outline.nWires);
    this.#run();
  }

  isOpen(box) {
    return this.open[box] !== 0 && this.o.end[box] > box + 1;
  }

  #run() {
    this.rows = this.#listShown();
    for (let k = this.rows.length - 1; k >= 0; k--) {
      const box = this.rows[k];
      this.exit[box] = GRID;
      if (this.isOpen(box))
        this.#layOut(box);
      else
        this.#closeBox(box);
    }
    this.#layOut(0);
    this.#makeAbsolute();
  }

  /* What is in a closed box is passed over. */
  #listShown() {
    const o = this.o, rows = new Int32Array(o.count);
    let count = 0;
    this.shown[0] = 1;
    for (let b = 1; b < o.count; b = this.isOpen(b) ? b + 1 : o.end[b]) {
      this.shown[b] = 1;
      rows[count++] = b;
    }
    return rows.subarray(0, count);
  }

  #sourceX(source) {
    if (source >= this.o.count)
      return this.lane[source - this.o.count];
    return this.x[source] + this.exit[source];
  }

  #goesOut(box, leavers) {
    return this.o.leaves[box] !== 0 && (leavers === 1 || this.o.rank[box] === this.ranks);
  }

  #beginBox(box) {
    const o = this.o;
    let leavers = 0;
    this.box = box;
    this.ranks = 0;
    this.leaver = 0;
    for (let c = box + 1; c < o.end[box]; c = o.end[c]) {
      this.ranks = Math.max(this.ranks, o.rank[c]);
      leavers += o.leaves[c];
    }
    for (let r = 0; r <= this.ranks + 1; r++) {
      this.row[r] = GRID;
      this.height[r] = 0;
      this.channels[r] = { right: 0, left: 0, track: 0, reach: 0, source: -1, bottom: 0, used: false };
    }
    for (let c = box + 1; c < o.end[box]; c = o.end[c]) {
      this.waysOut.end[c] = this.#goesOut(c, leavers) ? 1 : 0;
      if (this.waysOut.end[c] && !this.leaver)
        this.leaver = c;
    }
  }

  #lastRank(source) {
    const o = this.o, { begin, items } = o.wiresOut;
    let last = source < o.count && this.waysOut.end[source] ? this.ranks + 1 : 0;
    for (let k = begin[source]; k < begin[source + 1]; k++)
      if (!o.wires.back[items[k]])
        last = Math.max(last, o.rank[o.wires.to[items[k]]]);
    return last;
  }

  #placeLanes() {
    const o = this.o, box = this.box;
    let x = 0;
    for (let k = o.wiresIn.begin[box]; k < o.wiresIn.begin[box + 1]; k++) {
      const wire = o.wiresIn.items[k];
      const next = this.#goesOn(wire) ? o.wiresOut.items[o.wiresOut.begin[o.count + wire]] : -1;
      x += GRID;
      if (next >= 0 && this.isOpen(o.wires.to[next]))
        x = Math.max(x, GRID + this.lane[next]);
      this.lane[wire] = x;
    }
    this.title[box] = x + GRID;
  }

  #goesOn(wire) {
    const begin = this.o.wiresOut.begin, out = this.o.count + wire;
    return begin[out + 1] > begin[out];
  }

  #wantedX(box) {
    const o = this.o, open = this.isOpen(box);
    let wanted = -1;
    for (let k = o.wiresIn.begin[box]; k < o.wiresIn.begin[box + 1]; k++) {
      const wire = o.wiresIn.items[k], from = o.wires.from[wire];
      if (o.wires.back[wire] || (from < o.count && from > box) || (open && !this.#goesOn(wire)))
        continue;
      const x = this.#sourceX(from) - (open ? this.lane[wire] : GRID);
      wanted = wanted < 0 || x < wanted ? Math.max(x, 0) : wanted;
    }
    return wanted;
  }

  #placeBox(box) {
    const rank = this.o.rank[box], last = this.#lastRank(box);
    let x = Math.max(this.row[rank], this.#wantedX(box));
    for (let r = rank + 1; r < last; r++)
      x = Math.max(x, this.row[r] - this.exit[box]);
    this.x[box] = x;
    this.row[rank] = x + this.w[box] + GAP;
    this.height[rank] = Math.max(this.height[rank], this.h[box]);
    for (let r = rank + 1; r < last; r++)
      this.row[r] = x + this.exit[box] + GRID;
  }

  #placeBoxes() {
    const o = this.o, box = this.box;
    for (let k = o.wiresIn.begin[box]; k < o.wiresIn.begin[box + 1]; k++) {
      const source = o.count + o.wiresIn.items[k], last = this.#lastRank(source);
      for (let r = 1; r < last; r++)
        this.row[r] = this.#sourceX(source) + GRID;
      this.channels[0].used = this.channels[0].used || last > 0;
    }
    for (let c = box + 1; c < o.end[box]; c = o.end[c])
      this.#placeBox(c);
  }

  #entryX(wire) {
    const o = this.o, to = o.wires.to[wire], from = this.#sourceX(o.wires.from[wire]), x = this.x[to];
    if (this.isOpen(to)) {
      const straight = this.#goesOn(wire) && from === x + this.lane[wire];
      return x + this.lane[wire] - (straight ? 0 : GRID / 2);
    }
    if (from >= x + GRID && from <= x + this.w[to] - GRID)
      return from;
    return x + GRID * o.wires.slot[wire] + GRID / 2;
  }

  #findEntries(source) {
    const o = this.o, { begin, items } = o.wiresOut;
    for (let k = begin[source]; k < begin[source + 1]; k++) {
      const wire = items[k];
      this.runs.x[wire] = this.#sourceX(source);
      this.runs.entry[wire] = this.#entryX(wire);
      this.drawn[wire] = 1;
      if (!o.wires.back[wire])
        this.channels[o.rank[o.wires.to[wire]] - 1].used = true;
    }
  }

  #takeTracks(source, right) {
    const o = this.o, { begin, items } = o.wiresOut, x = this.#sourceX(source);
    for (let k = begin[source]; k < begin[source + 1]; k++) {
      const wire = items[k], entry = this.runs.entry[wire];
      if (o.wires.back[wire] || entry === x || (entry > x) !== right)
        continue;
      const c = this.channels[o.rank[o.wires.to[wire]] - 1], tracks = right ? c.right : c.left;
      if (c.source !== source) {
        const beyond = tracks === 0 || (right ? x > c.reach : x < c.reach);
        c.track = beyond ? 0 : c.track + 1;
        c.reach = beyond ? entry : c.reach;
        c.source = source;
      }
      if (right ? entry > c.reach : entry < c.reach)
        c.reach = entry;
      c[right ? 'right' : 'left'] = Math.max(tracks, c.track + 1);
      this.runs.turn[wire] = c.track;
    }
  }

  #listSources() {
    const o = this.o, box = this.box;
    let count = 0;
    for (let k = o.wiresIn.begin[box]; k < o.wiresIn.begin[box + 1]; k++)
      this.sources[count++] = o.count + o.wiresIn.items[k];
    for (let c = box + 1; c < o.end[box]; c = o.end[c])
      this.sources[count++] = c;
    return count;
  }

  #placeRows() {
    const o = this.o;
    let y = this.box ? HEADER : 0;
    this.channels[this.ranks].used = this.channels[this.ranks].used || this.leaver > 0;
    for (let r = 0; r <= this.ranks; r++) {
      const c = this.channels[r];
      y += this.height[r];
      y += c.used ? CHANNEL_TOP + CHANNEL_BOTTOM + TRACK * (c.right + c.left) : GRID;
      c.bottom = y;
    }
    for (let c = this.box + 1; c < o.end[this.box]; c = o.end[c])
      this.y[c] = this.channels[o.rank[c] - 1].bottom;
    return y;
  }

  #runBack(wire, width) {
    const runs = this.runs, from = this.o.wires.from[wire], to = this.o.wires.to[wire];
    runs.x[wire] = this.x[from] + this.w[from];
    runs.y[wire] = this.y[from] + (this.h[from] >> 1);
    runs.turn[wire] = width;
    runs.entry[wire] = this.x[to] + this.w[to];
    runs.end[wire] = this.y[to] + (this.h[to] >> 1);
    runs.lane[wire] = 0;
    return width + GRID;
  }

  #runWires(source, width) {
    const o = this.o, { begin, items } = o.wiresOut, runs = this.runs;
    for (let k = begin[source]; k < begin[source + 1]; k++) {
      const wire = items[k], to = o.wires.to[wire], c = this.channels[o.rank[to] - 1];
      if (o.wires.back[wire]) {
        width = this.#runBack(wire, width);
        continue;
      }
      const left = runs.entry[wire] < runs.x[wire];
      runs.y[wire] = source < o.count ? this.y[source] + this.h[source] : TURN;
      runs.turn[wire] = c.bottom - CHANNEL_BOTTOM - TRACK * (runs.turn[wire] + (left ? c.right : 0));
      runs.end[wire] = c.bottom;
      runs.lane[wire] = this.isOpen(to) && this.#goesOn(wire) ? this.x[to] + this.lane[wire] : runs.entry[wire];
    }
    return width;
  }

  #runOut(height) {
    const o = this.o, ways = this.waysOut;
    for (let c = this.box + 1; c < o.end[this.box]; c = o.end[c])
      if (ways.end[c]) {
        ways.x[c] = this.#sourceX(c);
        ways.y[c] = this.y[c] + this.h[c];
        ways.turn[c] = height - TURN;
        ways.entry[c] = ways.lane[c] = this.#sourceX(this.leaver);
        ways.end[c] = height;
      }
  }

  #layOut(box) {
    let width = 0;
    this.#beginBox(box);
    this.#placeLanes();
    this.#placeBoxes();
    const count = this.#listSources();
    for (let i = 0; i < count; i++)
      this.#findEntries(this.sources[i]);
    for (let i = 0; i < count; i++)
      this.#takeTracks(this.sources[i], true);
    for (let r = 0; r <= this.ranks; r++)
      this.channels[r].source = -1;
    for (let i = count - 1; i >= 0; i--)
      this.#takeTracks(this.sources[i], false);
    for (let r = 0; r <= this.ranks; r++)
      width = Math.max(width, this.row[r]);
    this.h[box] = this.#placeRows();
    for (let i = 0; i < count; i++)
      width = this.#runWires(this.sources[i], width);
    this.#runOut(this.h[box]);
    if (this.leaver)
      this.exit[box] = this.#sourceX(this.leaver);
    const title = this.title[box] + SIGN + this.o.width[box] + GRID;
    this.w[box] = roundUp(box ? Math.max(width, title) : width);
  }

  #closeBox(box) {
    const begin = this.o.wiresIn.begin, width = this.o.width[box] + SIGN + 2 * GRID;
    this.w[box] = roundUp(Math.max(width, GRID * (begin[box + 1] - begin[box] + 1)));
    this.h[box] = BOX_HEIGHT;
    this.title[box] = GRID;
  }

  #moveRun(runs, i, x, y, across) {
    runs.x[i] += x;
    runs.y[i] += y;
    runs.turn[i] += across ? y : x;
    runs.entry[i] += x;
    runs.end[i] += y;
    runs.lane[i] += x;
  }

  #makeAbsolute() {
    const o = this.o;
    for (const b of this.rows) {
      const x = this.x[o.parent[b]], y = this.y[o.parent[b]];
      this.x[b] += x;
      this.y[b] += y;
      this.title[b] += this.x[b];
      for (let k = o.wiresIn.begin[b]; k < o.wiresIn.begin[b + 1]; k++) {
        const wire = o.wiresIn.items[k];
        this.#moveRun(this.runs, wire, x, y, !o.wires.back[wire]);
      }
      if (this.waysOut.end[b])
        this.#moveRun(this.waysOut, b, x, y, true);
    }
  }
}
