'use strict';

/* The run over time: a row per worker with its nodes, and between them why it stood still; above, how many tasks were
 * ready. What begins in view is found by halving, and no more is drawn than there are columns of pixels. */

const AXIS = 18, READY = 30, LEFT = 96, LEAST_ROW = 6, MOST_ROW = 24, LEAST_LABEL = 44;
const SHORTEST_VIEW = 1000; /* nanoseconds */

/* "waits for layer.0.mlp (RAW)", or, where the value has a name of its own, that too. */
function waitWords(data, wait) {
  const { waits, values, nodes, texts } = data, from = texts[nodes.name[waits.from[wait]]], value = texts[values.name[waits.value[wait]]];
  const kind = EDGE_KINDS[waits.kind[wait]];
  return `waits for ${from}${from === value ? ` (${kind})` : `: ${kind} on ${value}`}`;
}

/* Why a worker stood still, in words. */
function gapWords(data, gap) {
  const { gaps } = data.run, wait = gaps.wait[gap], name = (node) => data.texts[data.nodes.name[node]];
  const words = {
    [Gap.WAIT]: () => `${name(gaps.node[gap])} ${waitWords(data, wait)}`,
    [Gap.SUBMIT]: () => `${name(gaps.node[gap])} was not submitted yet`,
    [Gap.END]: () => 'nothing is left to run here',
    [Gap.QUEUED]: () => `${name(gaps.node[gap])} was ready, but queued on worker ${data.run.timings.worker[gaps.node[gap]]}, which was busy`,
    [Gap.RUNTIME]: () => `${name(gaps.node[gap])} was ready, and the runtime had not begun it`,
    [Gap.OUTSIDE]: () => (gaps.beginNs[gap] === 0 ? 'nothing was submitted yet' : 'all had run'),
  };
  return words[gaps.cause[gap]]();
}

/* The first of ascending numbers that is larger than a value. */
function firstAbove(numbers, value) {
  let low = 0, high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] > value)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

class Timeline {
  constructor(canvas, moment, viewer) {
    this.canvas = canvas;
    this.moment = moment;
    this.viewer = viewer;
    this.run = viewer.data.run;
    this.context = canvas.getContext('2d', { alpha: false });
    this.begin = 0;
    this.end = this.run.wallNs;
    this.theme = readTheme();
    this.request = oncePerFrame(() => this.draw());
    viewer.onChange((what) => this.#change(what));
    onThemeChange(() => {
      this.theme = readTheme();
      this.request();
    });
    this.#listen();
    this.#resize();
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /* ---- places ---- */

  #resize() {
    const ratio = devicePixelRatio || 1, rows = this.run.rows.length;
    const height = AXIS + READY + 6 + rows * Math.max(LEAST_ROW, Math.min(MOST_ROW, 200 / rows));
    this.canvas.style.height = `${Math.round(height)}px`;
    this.width = Math.max(LEFT + 10, this.canvas.clientWidth);
    this.rowHeight = (height - AXIS - READY - 6) / rows;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
    this.draw();
  }

  xOf(time) {
    return LEFT + (time - this.begin) / (this.end - this.begin) * (this.width - LEFT);
  }

  timeOf(x) {
    return this.begin + (x - LEFT) / (this.width - LEFT) * (this.end - this.begin);
  }

  rowTop(worker) {
    return AXIS + READY + 4 + worker * this.rowHeight;
  }

  /* The node (or -1 - gap) at a place; null: none. */
  itemAt(x, y) {
    const worker = Math.floor((y - this.rowTop(0)) / this.rowHeight), row = this.run.rows[worker];
    if (!row || x < LEFT)
      return null;
    const time = this.timeOf(x), k = firstAbove(row.endNs, time);
    return k < row.items.length && row.beginNs[k] <= time ? row.items[k] : null;
  }

  /* ---- drawing ---- */

  draw() {
    const c = this.context, rows = this.run.rows;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = this.theme.page;
    c.fillRect(0, 0, this.width, this.canvas.height);
    this.#drawAxis();
    this.#drawReady();
    rows.forEach((row, worker) => this.#drawRow(row, worker));
    this.#drawLabels();
  }

  /* Round times in view, all in one unit and with as many digits as tell them apart. */
  ticks() {
    const rough = (this.end - this.begin) / Math.max(2, (this.width - LEFT) / 110), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough), ticks = [];
    const unit = Math.min(3, Math.floor(Math.log10(this.end) / 3)), size = 1000 ** unit;
    const digits = Math.max(0, -Math.floor(Math.log10(step / size) + 1e-9));
    for (let k = Math.ceil(this.begin / step); k * step <= this.end; k++)
      ticks.push({ time: k * step, words: `${(k * step / size).toFixed(digits)} ${TIME_UNITS[unit]}` });
    return ticks;
  }

  #drawAxis() {
    const c = this.context;
    let free = 0; /* from where on no label stands */
    c.font = `11px ${FONT}`;
    for (const { time, words } of this.ticks()) {
      const x = Math.round(this.xOf(time)) + 0.5, wide = c.measureText(words).width;
      const left = x + 3 + wide > this.width ? x - 3 - wide : x + 3;
      c.strokeStyle = this.theme.runtime;
      c.lineWidth = 1;
      c.beginPath();
      c.moveTo(x, AXIS - 3);
      c.lineTo(x, this.rowTop(this.run.rows.length));
      c.stroke();
      c.fillStyle = this.theme.faint;
      if (left >= free)
        c.fillText(words, left, 12);
      free = left + wide + 3;
    }
  }

  /* Tasks that were ready, as high as they were many: of a column of pixels the most. */
  #drawReady() {
    const c = this.context, { timeNs, ready } = this.run.loads, base = AXIS + READY;
    const most = this.mostReady = this.mostReady || ready.reduce((max, count) => Math.max(max, count), 1);
    c.fillStyle = this.theme['forward-line'];
    c.globalAlpha = 0.35;
    let k = Math.max(0, firstAbove(timeNs, this.begin) - 1);
    for (let x = LEFT; x < this.width && k < timeNs.length; x++) {
      const until = this.timeOf(x + 1);
      let high = ready[k];
      for (; k + 1 < timeNs.length && timeNs[k + 1] < until; k++)
        high = Math.max(high, ready[k + 1]);
      const height = high / most * (READY - 6);
      c.fillRect(x, base - height, 1, height);
    }
    c.globalAlpha = 1;
  }

  #drawRow(row, worker) {
    const top = this.rowTop(worker), height = this.rowHeight - 2;
    for (let k = firstAbove(row.endNs, this.begin); k < row.items.length && row.beginNs[k] < this.end;) {
      const left = Math.max(LEFT, this.xOf(row.beginNs[k])), right = Math.min(this.width, this.xOf(row.endNs[k]));
      const isNarrow = right - left < 1;
      this.#drawItem(row.items[k], left, Math.max(right, left + 1), top, height);
      k = isNarrow ? Math.max(k + 1, firstAbove(row.endNs, this.timeOf(Math.floor(left) + 1))) : k + 1;
    }
  }

  #drawItem(item, left, right, top, height) {
    const c = this.context, { viewer, theme } = this;
    if (item < 0) {
      this.#drawGap(-1 - item, left, right, top, height);
      return;
    }
    const box = viewer.data.boxOf[item], name = CLASSES[viewer.outline.class[box]];
    const selected = viewer.gap < 0 && viewer.selected > 0 && box >= viewer.selected &&
      box < viewer.outline.end[viewer.selected];
    right = selected ? Math.max(right, left + 3) : right;
    c.globalAlpha = viewer.isPale(box) ? PALE : 1;
    c.fillStyle = selected ? theme.accent : theme[name];
    c.fillRect(left, top, right - left, height);
    if (right - left > 3) {
      c.strokeStyle = selected ? theme.accent : theme[`${name}-line`];
      c.lineWidth = 1;
      c.strokeRect(left + 0.5, top + 0.5, right - left - 1, height - 1);
    }
    if (right - left > LEAST_LABEL && height >= 12)
      this.#drawOp(item, left, right, top + height / 2 + 4, selected);
    c.globalAlpha = 1;
  }

  #drawOp(node, left, right, y, selected) {
    const c = this.context, { data } = this.viewer, op = data.texts[data.nodes.op[node]];
    c.font = `11px ${FONT}`;
    c.fillStyle = selected ? this.theme.page : this.theme.text;
    c.fillText(op.slice(0, Math.floor((right - left - 8) / 7)), left + 4, y);
  }

  /* Idle lower than what ran, and the runtime lower still. */
  #drawGap(gap, left, right, top, height) {
    const c = this.context, cause = this.run.gaps.cause[gap], part = isRuntime(cause) ? 0.25 : 0.5;
    c.fillStyle = isRuntime(cause) ? this.theme.runtime : this.theme.idle;
    c.globalAlpha = cause === Gap.END ? 0.4 : 1;
    c.fillRect(left, top + height * (1 - part), right - left, height * part);
    c.globalAlpha = 1;
    if (gap === this.viewer.gap) {
      c.strokeStyle = this.theme.accent;
      c.lineWidth = 2;
      c.strokeRect(left, top, Math.max(2, right - left), height);
    }
  }

  #drawLabels() {
    const c = this.context, { workers } = this.run;
    c.fillStyle = this.theme.page;
    c.fillRect(0, 0, LEFT - 1, this.canvas.height);
    c.font = `11px ${FONT}`;
    c.fillStyle = this.theme.faint;
    c.fillText('ready tasks', 10, AXIS + READY - 6);
    for (let w = 0; w < workers.device.length; w++)
      if (this.rowHeight >= 12 || w % Math.ceil(12 / this.rowHeight) === 0)
        c.fillText(`${w} ${this.viewer.data.texts[workers.device[w]]}`, 10, this.rowTop(w) + this.rowHeight / 2 + 3);
  }

  /* ---- moving about ---- */

  look(begin, end) {
    const span = Math.min(this.run.wallNs, Math.max(SHORTEST_VIEW, end - begin));
    this.begin = Math.max(0, Math.min(this.run.wallNs - span, begin));
    this.end = this.begin + span;
    this.say();
    this.request();
  }

  lookAtAll() {
    this.look(0, this.run.wallNs);
  }

  zoom(factor, x = (LEFT + this.width) / 2) {
    const time = this.timeOf(x);
    this.look(time - (time - this.begin) / factor, time + (this.end - time) / factor);
  }

  #pan(pixels) {
    const shift = pixels * (this.end - this.begin) / (this.width - LEFT);
    this.look(this.begin - shift, this.end - shift);
  }

  /* When something is. */
  #timesOf(item) {
    const { timings, gaps } = this.run;
    return item >= 0 ? [timings.startNs[item], timings.endNs[item]] : [gaps.beginNs[-1 - item], gaps.endNs[-1 - item]];
  }

  /* What is selected: a node, -1 - gap, or null. */
  get item() {
    const { viewer } = this, { outline: o, selected } = viewer;
    if (viewer.gap >= 0)
      return -1 - viewer.gap;
    return o.kind[selected] === Kind.NODE ? o.item[selected] : null;
  }

  #change(what) {
    const { item } = this;
    if (item !== null && what !== 'marks') {
      const [begin, end] = this.#timesOf(item), length = end - begin, pixels = this.xOf(end) - this.xOf(begin);
      if (begin < this.begin || end > this.end || pixels < 2)
        this.look(begin - 4 * length, end + 4 * length);
    }
    this.say();
    this.request();
  }

  select(item) {
    if (item < 0)
      this.viewer.selectGap(-1 - item);
    else
      this.viewer.goToNode(item);
  }

  /* Tell of what the pointer is on, else of what is selected, else of what is seen. */
  say(item = this.item) {
    this.moment.textContent = item === null ? `${plural(this.run.rows.length, 'worker')}, ${instant(this.begin)} to ${instant(this.end)}`
      : `worker ${this.#workerOf(item)}: ${this.describe(item)}`;
  }

  describe(item) {
    const { data } = this.viewer, [begin, end] = this.#timesOf(item), length = duration(end - begin);
    return `${item >= 0 ? `${data.texts[data.nodes.name[item]]}: ${length}`
      : `${isRuntime(this.run.gaps.cause[-1 - item]) ? 'runtime' : 'idle'} ${length}: ${gapWords(data, -1 - item)}`}, from ${instant(begin)}`;
  }

  #listen() {
    const { canvas } = this;
    let from = null, travel = 0, pointer = null; /* the one that drags */
    canvas.addEventListener('pointerdown', (event) => {
      if (from !== null)
        return;
      canvas.setPointerCapture(event.pointerId);
      [from, travel, pointer] = [event.offsetX, 0, event.pointerId];
    });
    canvas.addEventListener('pointermove', (event) => {
      const item = this.itemAt(event.offsetX, event.offsetY);
      this.say(item === null ? undefined : item);
      if (from === null || event.pointerId !== pointer)
        return;
      travel += Math.abs(event.offsetX - from);
      this.#pan(event.offsetX - from);
      from = event.offsetX;
    });
    canvas.addEventListener('pointerup', (event) => {
      const item = this.itemAt(event.offsetX, event.offsetY);
      if (from === null || event.pointerId !== pointer)
        return;
      if (travel <= CLICK_REACH && item !== null)
        this.select(item);
      from = null;
    });
    canvas.addEventListener('pointercancel', (event) => {
      if (event.pointerId === pointer)
        from = null;
    });
    canvas.addEventListener('pointerleave', () => this.say());
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      if (event.deltaX !== 0 || event.shiftKey)
        this.#pan(-(event.deltaX || event.deltaY));
      else
        this.zoom(Math.exp(-event.deltaY / 300), event.offsetX);
    }, { passive: false });
    canvas.addEventListener('keydown', (event) => this.#press(event));
  }

  /* ---- keys ---- */

  #press(event) {
    const action = {
      ArrowLeft: () => this.#step(-1), ArrowRight: () => this.#step(1),
      ArrowUp: () => this.#stepWorker(-1), ArrowDown: () => this.#stepWorker(1),
      '+': () => this.zoom(1.5), '=': () => this.zoom(1.5), '-': () => this.zoom(1 / 1.5),
      Home: () => this.#toBar(false), End: () => this.#toBar(true),
      0: () => this.lookAtAll(),
    }[event.key];
    if (!action || event.ctrlKey || event.altKey || event.metaKey)
      return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  #workerOf(item) {
    return item >= 0 ? this.run.timings.worker[item] : this.run.gaps.worker[-1 - item];
  }

  /* To what was before or after on the same worker. */
  #step(step) {
    const { item } = this, row = this.run.rows[item === null ? 0 : this.#workerOf(item)];
    const at = item === null ? -step : row.items.indexOf(item);
    this.#arrive(row, at + step);
  }

  /* To the first or the last node of the same worker. */
  #toBar(last) {
    const { item } = this, row = this.run.rows[item === null ? 0 : this.#workerOf(item)], isBar = (other) => other >= 0;
    this.#arrive(row, last ? row.items.findLastIndex(isBar) : row.items.findIndex(isBar));
  }

  /* To what another worker did then. */
  #stepWorker(step) {
    const { item } = this, worker = item === null ? 0 : this.#workerOf(item) + step, row = this.run.rows[worker];
    if (row)
      this.#arrive(row, item === null ? 0 : firstAbove(row.endNs, this.#timesOf(item)[0]));
  }

  #arrive(row, k) {
    const item = row.items[Math.max(0, Math.min(row.items.length - 1, k))];
    if (item === undefined)
      return;
    this.select(item);
    byId('said').textContent = this.moment.textContent;
  }
}
