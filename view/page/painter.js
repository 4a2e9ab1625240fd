'use strict';

/* Draws what the camera sees on the canvas. What is outside is not looked at; what would be too small to read is
 * drawn without its text, and an open box too small to look into as one block. */

const FONT = '"DejaVu Sans", Verdana, "Segoe UI", Helvetica, Arial, sans-serif';
const NAME_SIZE = 13, DETAIL_SIZE = 11, SMALLEST_TEXT = 6;
const SMALLEST_INSIDE = 40; /* pixels of an open box that is looked into */
const SMALLEST_WIRE = 3;    /* and of a wire */
const PALE = 0.22;
const HEATS = 8; /* shades */
const CLASS_NAMES = [...CLASSES, 'input'];
const Sign = { STORED: 1, KEPT: 2, FED: 4, OUTPUT: 8 };

/* The signs at the sides of each node, and of the parts of one. */
function findSigns(data) {
  const o = data.outline, signs = new Uint8Array(o.count);
  for (let b = o.count - 1; b > 0; b--)
    if (o.kind[b] === Kind.NODE) {
      const node = o.item[b];
      const stored = (read) => {
        const value = data.reads.value[read];
        return data.values.producer[value] < 0 && VALUE_KINDS[data.values.kind[value]] !== 'input';
      };
      signs[b] = (itemsOf(data.readsOf, node).some(stored) ? Sign.STORED : 0) | (o.kept[b] ? Sign.KEPT : 0) |
        (o.fed[b] ? Sign.FED : 0) |
        (itemsOf(data.resultsOf, node).some((value) => data.values.isOutput[value]) ? Sign.OUTPUT : 0);
      if (o.kind[o.parent[b]] === Kind.PARTS)
        signs[o.parent[b]] |= signs[b];
    }
  return signs;
}

/* How much of the colour of heat a shade has. */
function heatAlpha(shade) {
  return (shade + 0.5) / HEATS;
}

class Painter {
  constructor(canvas, viewer, camera) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d', { alpha: false });
    this.viewer = viewer;
    this.camera = camera;
    this.signs = findSigns(viewer.data);
    this.found = null; /* Uint8Array by box: search has found it, or something in it */
    this.theme = readTheme();
    this.request = oncePerFrame(() => this.draw()); /* draw before the next frame */
    onThemeChange(() => {
      this.theme = readTheme();
      this.request();
    });
  }

  /* Black until it is drawn, which is to be before the frame ends. */
  resize() {
    const ratio = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = this.canvas;
    this.camera.width = width;
    this.camera.height = height;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
  }

  draw() {
    const c = this.context, { x, y, scale } = this.camera, ratio = devicePixelRatio || 1;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.globalAlpha = 1;
    c.fillStyle = this.theme.page;
    c.fillRect(0, 0, this.canvas.width, this.canvas.height);
    c.setTransform(scale * ratio, 0, 0, scale * ratio, -x * scale * ratio, -y * scale * ratio);
    this.scale = scale;
    this.line = Math.max(1.2, 1 / scale);
    this.#collect();
    this.#drawBoxes(this.insides, true);
    this.#drawWires();
    this.#drawBoxes(this.blocks, false);
    if (this.viewer.comparison)
      this.#drawDifferences(this.blocks);
    this.taken = new Map(); /* where names that are seen from afar stand, by line of the screen */
    this.#drawTexts();
    this.#drawRings();
  }

  /* ---- what is seen ---- */

  #collect() {
    const { x, y, width, height, scale } = this.camera;
    this.left = x;
    this.top = y;
    this.right = x + width / scale;
    this.bottom = y + height / scale;
    this.insides = [];
    this.blocks = [];
    this.around = [0];
    for (let i = 0; i < this.around.length; i++)
      this.#collectIn(this.around[i]);
  }

  #collectIn(box) {
    const l = this.viewer.layout, o = this.viewer.outline, least = SMALLEST_INSIDE / this.scale;
    for (let c = box + 1; c < o.end[box]; c = o.end[c]) {
      if (l.x[c] > this.right || l.y[c] > this.bottom || l.x[c] + l.w[c] < this.left || l.y[c] + l.h[c] < this.top)
        continue;
      if (l.isOpen(c) && l.w[c] > least && l.h[c] > least) {
        this.insides.push(c);
        this.around.push(c);
      } else {
        this.blocks.push(c);
      }
    }
  }

  /* ---- boxes ---- */

  #classOf(box) {
    return this.viewer.outline.kind[box] === Kind.INPUT ? 3 : this.viewer.outline.class[box];
  }

  #drawBoxes(boxes, open) {
    if (this.viewer.heat && !open) {
      this.#drawHeat(boxes);
      return;
    }
    const groups = Array.from({ length: 8 }, () => []);
    for (const box of boxes)
      groups[this.#classOf(box) + (this.viewer.isPale(box) ? 4 : 0)].push(box);
    groups.forEach((group, g) => {
      if (group.length > 0)
        this.#drawGroup(group, CLASS_NAMES[g % 4], open, g >= 4 ? PALE : 1);
    });
  }

  #drawGroup(boxes, name, open, alpha) {
    const c = this.context;
    c.fillStyle = this.theme[name];
    this.#fill(boxes, open, alpha * (open ? 0.28 : 1));
    this.#outline(boxes, open, this.theme[`${name}-line`], alpha);
  }

  /* Fill boxes, and leave their path. */
  #fill(boxes, open, alpha) {
    const c = this.context;
    c.beginPath();
    for (const box of boxes)
      this.#trace(box, open);
    c.globalAlpha = alpha;
    c.fill();
  }

  /* Draw the lines around boxes whose path is there. */
  #outline(boxes, open, colour, alpha) {
    const c = this.context;
    c.strokeStyle = colour;
    c.lineWidth = Math.min(this.line, 1.5 / this.scale);
    c.globalAlpha = alpha * (this.scale < 0.15 ? 0.5 : 1);
    if (BOX_HEIGHT * this.scale > 3)
      c.stroke();
    if (!open && this.scale > 0.3)
      this.#drawFolded(boxes);
    c.globalAlpha = 1;
  }

  /* What took longest stands out most. */
  #drawHeat(boxes) {
    const c = this.context, { viewer, theme } = this, groups = Array.from({ length: 4 * HEATS }, () => []);
    for (const box of boxes)
      groups[viewer.heatOf(box) + (viewer.isPale(box) ? HEATS : 0) + (viewer.isFaster(box) ? 2 * HEATS : 0)].push(box);
    groups.forEach((group, g) => {
      if (group.length === 0)
        return;
      const alpha = g % (2 * HEATS) >= HEATS ? PALE : 1;
      c.fillStyle = theme.page;
      this.#fill(group, false, alpha);
      c.fillStyle = g < 2 * HEATS ? theme.heat : theme.faster;
      this.#fill(group, false, alpha * heatAlpha(g % HEATS));
      this.#outline(group, false, theme.wire, alpha);
    });
  }

  #trace(box, open) {
    const c = this.context, l = this.viewer.layout, x = l.x[box], y = l.y[box], w = l.w[box], h = l.h[box];
    if (this.scale < 0.3)
      c.rect(x, y, w, h);
    else
      c.roundRect(x, y, w, h, this.viewer.outline.kind[box] === Kind.INPUT ? h / 2 : open ? 8 : 4);
  }

  /* A second line within: there is more inside. */
  #drawFolded(boxes) {
    const c = this.context, l = this.viewer.layout;
    c.lineWidth = Math.min(this.line, 1 / this.scale);
    c.beginPath();
    for (const box of boxes)
      if (this.viewer.canOpen(box))
        c.roundRect(l.x[box] + 3, l.y[box] + 3, l.w[box] - 6, l.h[box] - 6, 2);
    c.stroke();
  }

  /* A bar at the left of what differs between two graphs, as wide as can be seen. */
  #drawDifferences(boxes) {
    const c = this.context, { viewer } = this, l = viewer.layout;
    for (const box of boxes) {
      const sign = viewer.comparison.signOf(box);
      if (sign === Sided.SAME)
        continue;
      c.fillStyle = this.theme[SIGN_COLOURS[sign]];
      c.fillRect(l.x[box], l.y[box], Math.min(l.w[box], Math.max(5, 3 / this.scale)), l.h[box]);
    }
  }

  /* ---- wires ---- */

  #drawWires() {
    this.plain = { lines: new Path2D(), heads: new Path2D() };
    this.pale = { lines: new Path2D(), heads: new Path2D() };
    this.back = new Path2D();
    for (const box of this.around)
      this.#traceWiresIn(box);
    const c = this.context, fine = this.scale < 0.3;
    c.strokeStyle = c.fillStyle = this.theme.wire;
    c.lineWidth = this.line;
    for (const [wires, alpha] of [[this.pale, PALE], [this.plain, fine ? 0.55 : 1]]) {
      c.globalAlpha = alpha;
      c.stroke(wires.lines);
      c.fill(wires.heads);
    }
    c.globalAlpha = 1;
    c.setLineDash([4, 3]);
    c.stroke(this.back);
    c.setLineDash([]);
    this.#drawOwnWires();
  }

  #traceWiresIn(around) {
    const o = this.viewer.outline, l = this.viewer.layout;
    for (let c = around + 1; c < o.end[around]; c = o.end[c]) {
      for (let k = o.wiresIn.begin[c]; k < o.wiresIn.begin[c + 1]; k++)
        this.#traceWire(o.wiresIn.items[k], c);
      if (l.waysOut.end[c] && this.#isSeen(l.waysOut, c))
        this.#traceRun((this.viewer.isPale(c) ? this.pale : this.plain).lines, l.waysOut, c, false);
    }
  }

  #traceWire(wire, to) {
    const { layout, outline } = this.viewer, runs = layout.runs;
    if (!this.#isSeen(runs, wire))
      return;
    if (outline.wires.back[wire]) {
      this.#traceBack(wire);
      return;
    }
    const pale = this.viewer.mark && (this.viewer.isPale(to) || this.viewer.isPale(this.viewer.sourceOf(wire)));
    const on = layout.isOpen(to) && runs.lane[wire] !== 0 && this.#goesOn(wire);
    this.#traceRun((pale ? this.pale : this.plain).lines, runs, wire, on);
    if (!on && this.scale > 0.3)
      this.#traceHead((pale ? this.pale : this.plain).heads, runs.entry[wire], runs.end[wire]);
  }

  #goesOn(wire) {
    const { begin } = this.viewer.outline.wiresOut, out = this.viewer.outline.count + wire;
    return begin[out + 1] > begin[out];
  }

  /* Whether a run has to do with what the camera sees, and is no speck. */
  #isSeen(runs, i) {
    const x = runs.x[i], entry = runs.entry[i], y = runs.y[i], end = runs.end[i];
    if ((x > this.right && entry > this.right) || (x < this.left && entry < this.left))
      return false;
    if (Math.min(y, end) > this.bottom || Math.max(y, end) < this.top)
      return false;
    return (Math.abs(entry - x) + Math.abs(end - y)) * this.scale >= SMALLEST_WIRE;
  }

  #traceRun(path, runs, i, on) {
    const x = runs.x[i], entry = runs.entry[i], lane = runs.lane[i], end = runs.end[i];
    path.moveTo(x, runs.y[i]);
    if (entry !== x) {
      path.lineTo(x, runs.turn[i]);
      path.lineTo(entry, runs.turn[i]);
    }
    if (on && lane !== entry) {
      path.lineTo(entry, end + TURN / 2);
      path.lineTo(lane, end + TURN / 2);
      path.lineTo(lane, end + TURN);
    } else {
      path.lineTo(entry, end + (on ? TURN : 0));
    }
  }

  #traceBack(wire) {
    const runs = this.viewer.layout.runs;
    this.back.moveTo(runs.x[wire], runs.y[wire]);
    this.back.lineTo(runs.turn[wire], runs.y[wire]);
    this.back.lineTo(runs.turn[wire], runs.end[wire]);
    this.back.lineTo(runs.entry[wire], runs.end[wire]);
  }

  #traceHead(path, x, y) {
    path.moveTo(x, y);
    path.lineTo(x - 3, y - 8);
    path.lineTo(x + 3, y - 8);
    path.closePath();
  }

  /* What comes into the selected box and goes out of it, all the way. */
  #drawOwnWires() {
    const selected = this.viewer.selected, { outline: o, layout: l } = this.viewer;
    this.crossed = false; /* a slanting line may run through names */
    if (selected === 0)
      return;
    const lines = new Path2D(), heads = new Path2D();
    const trace = (wire) => {
      const to = o.wires.to[wire], on = l.isOpen(to) && this.#goesOn(wire);
      if (!l.drawn[wire] || o.wires.back[wire])
        return;
      this.#traceRun(lines, l.runs, wire, on);
      if (!on)
        this.#traceHead(heads, l.runs.entry[wire], l.runs.end[wire]);
    };
    for (let wire of itemsOf(o.wiresIn, selected)) {
      trace(wire);
      for (; o.wires.from[wire] >= o.count; trace(wire))
        wire = o.wires.from[wire] - o.count;
    }
    const onward = [...itemsOf(o.wiresOut, selected)];
    for (let wire; (wire = onward.pop()) !== undefined;) {
      trace(wire);
      if (l.isOpen(o.wires.to[wire]))
        onward.push(...itemsOf(o.wiresOut, o.count + wire));
    }
    const c = this.context;
    c.strokeStyle = c.fillStyle = this.theme.accent;
    c.lineWidth = 1.6 * this.line;
    c.stroke(lines);
    if (this.scale > 0.3)
      c.fill(heads);
    this.#drawOtherWaits(selected);
  }

  /* What the selected node waits for without reading it: a line straight from there, as no wire runs. */
  #drawOtherWaits(selected) {
    const { outline: o, layout: l, data } = this.viewer, c = this.context;
    if (o.kind[selected] !== Kind.NODE)
      return;
    const froms = Array.from(itemsOf(data.waitsOf, o.item[selected])).filter((wait) => EDGE_KINDS[data.waits.kind[wait]] !== 'RAW')
      .map((wait) => this.viewer.shownOf(data.boxOf[data.waits.from[wait]]));
    const x = l.x[selected] + l.w[selected] / 2, y = l.y[selected];
    c.setLineDash([6, 4]);
    for (const from of new Set(froms)) {
      const fromX = l.x[from] + l.w[from] / 2, fromY = l.y[from] + l.h[from];
      c.beginPath();
      c.moveTo(fromX, fromY);
      c.lineTo(x, y);
      c.stroke();
      this.#drawHead(x, y, Math.atan2(y - fromY, x - fromX));
    }
    c.setLineDash([]);
    this.crossed = froms.length > 0;
  }

  /* A head at the end of a line that slants. */
  #drawHead(x, y, angle) {
    const c = this.context, length = Math.max(11, 8 / this.scale);
    c.beginPath();
    c.moveTo(x, y);
    for (const side of [-0.4, 0.4])
      c.lineTo(x - length * Math.cos(angle + side), y - length * Math.sin(angle + side));
    c.fill();
  }

  /* ---- texts and signs ---- */

  #drawTexts() {
    const c = this.context;
    c.textBaseline = 'alphabetic';
    for (const box of this.insides)
      this.#drawName(box, true);
    for (const box of this.blocks)
      this.#drawName(box, false);
    c.globalAlpha = 1;
  }

  #drawName(box, open) {
    const c = this.context, l = this.viewer.layout, x = l.title[box], y = l.y[box];
    c.globalAlpha = this.viewer.isPale(box) ? 2 * PALE : 1;
    if (NAME_SIZE * this.scale < SMALLEST_TEXT) {
      if (this.viewer.canOpen(box))
        this.#drawLarge(box, open);
      return;
    }
    this.#drawClass(box, x, y + (open ? 15 : 16));
    c.font = `${NAME_SIZE}px ${FONT}`;
    if (open && this.crossed)
      this.#drawHalo(this.viewer.name(box), x + 16, y + 20, NAME_SIZE / 3);
    c.fillStyle = this.theme.text;
    c.fillText(this.viewer.name(box), x + 16, y + 20);
    if (!open && DETAIL_SIZE * this.scale >= SMALLEST_TEXT) {
      c.font = `${DETAIL_SIZE}px ${FONT}`;
      c.fillStyle = this.viewer.heat ? this.theme.text : this.theme.faint;
      c.fillText(this.viewer.heat ? this.viewer.timeWords(box) : this.viewer.detail(box), x, y + 35);
    }
    this.#drawSigns(box, open);
  }

  /* The name of a box that is seen from afar, where there is room for it: in the middle of a block, else on top of
   * what is inside. */
  #drawLarge(box, open) {
    const c = this.context, l = this.viewer.layout, size = DETAIL_SIZE / this.scale, name = this.viewer.name(box);
    const wide = size * 0.66 * (name.length + 2);
    const x = open ? l.x[box] + size / 2 : l.x[box] + (l.w[box] - wide) / 2 + size * 0.66;
    const y = open ? l.y[box] + 1.3 * size : l.y[box] + l.h[box] / 2 + size / 3;
    if (l.w[box] < wide || l.h[box] < (open ? 6 : 1.5) * size || !this.#takePlace(x * this.scale, y * this.scale, wide * this.scale))
      return;
    c.font = `${size}px ${FONT}`;
    this.#drawHalo(name, x, y, size / 3);
    c.fillStyle = this.theme.text;
    c.fillText(name, x, y);
  }

  #drawHalo(name, x, y, width) {
    const c = this.context;
    c.lineWidth = width;
    c.lineJoin = 'round';
    c.strokeStyle = this.theme.page;
    c.strokeText(name, x, y);
    c.lineJoin = 'miter';
  }

  /* Have a place for a name, in pixels, unless another is there. */
  #takePlace(x, y, wide) {
    const high = DETAIL_SIZE + 3, line = Math.floor(y / high);
    for (let k = line - 1; k <= line + 1; k++)
      for (const other of this.taken.get(k) || [])
        if (Math.abs(other.y - y) < high && other.x < x + wide && x < other.x + other.wide)
          return false;
    this.taken.set(line, [...(this.taken.get(line) || []), { x, y, wide }]);
    return true;
  }

  /* What the colour says, as a shape: down, up, a diamond, a disc. */
  #drawClass(box, x, y) {
    const c = this.context, name = CLASS_NAMES[this.#classOf(box)];
    c.fillStyle = this.theme[`${name}-line`];
    c.beginPath();
    if (name === 'input')
      c.arc(x + 4, y, 4, 0, 7);
    else
      for (const [dx, dy] of { forward: [[0, -4], [9, -4], [4.5, 4]], backward: [[0, 4], [9, 4], [4.5, -4]],
        optimizer: [[0, 0], [4.5, -5], [9, 0], [4.5, 5]] }[name])
        c.lineTo(x + dx, y + dy);
    c.fill();
  }

  #drawSigns(box, open) {
    const signs = this.signs[box], l = this.viewer.layout, c = this.context;
    if (!signs || open)
      return;
    const x = l.x[box], y = l.y[box], w = l.w[box], h = l.h[box], middle = y + (h >> 1);
    c.fillStyle = this.theme.mark;
    c.beginPath();
    if (signs & Sign.STORED)
      c.rect(x + w - 13, y + 7, 6, 6);
    if (signs & Sign.OUTPUT)
      c.rect(x + 4, y + h - 5, w - 8, 3);
    for (const [sign, at] of [[Sign.KEPT, x + w], [Sign.FED, x - 6]])
      if (signs & sign) {
        c.moveTo(at, middle - 4);
        c.lineTo(at + 6, middle);
        c.lineTo(at, middle + 4);
      }
    c.fill();
  }

  /* ---- what is selected or found ---- */

  #drawRings() {
    const { selected } = this.viewer, seen = [...this.insides, ...this.blocks];
    if (this.found)
      this.#drawRing(seen.filter((box) => this.found[box]), this.theme.found, 2.5);
    if (selected > 0 && this.viewer.layout.shown[selected])
      this.#drawRing([selected], this.theme.accent, 3);
  }

  #drawRing(boxes, colour, width) {
    const c = this.context, l = this.viewer.layout, line = width / Math.min(this.scale, 1.2);
    c.strokeStyle = colour;
    c.lineWidth = line;
    c.beginPath();
    for (const box of boxes)
      c.roundRect(l.x[box] - line, l.y[box] - line, l.w[box] + 2 * line, l.h[box] + 2 * line, 6);
    c.stroke();
  }

  /* The box drawn at a place of the screen; 0: none. */
  boxAt(x, y) {
    const [wx, wy] = this.camera.toWorld(x, y), { layout: l, outline: o } = this.viewer;
    let found = 0;
    for (let c = 1; c < o.end[found];)
      if (wx >= l.x[c] && wx <= l.x[c] + l.w[c] && wy >= l.y[c] && wy <= l.y[c] + l.h[c]) {
        found = c;
        if (!l.isOpen(c))
          break;
        c++;
      } else {
        c = o.end[c];
      }
    return found;
  }
}
