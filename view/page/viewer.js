'use strict';

/* What is open, selected and marked, and who is told when that changes. */

class Viewer {
  constructor(data) {
    this.data = data;
    this.outline = data.outline;
    this.atFirst = openAtFirst(data.outline);
    this.open = this.atFirst.slice();
    this.selected = 0;
    this.pathStart = 0; /* the box from which paths are asked for; 0: none */
    this.gap = -1; /* of the run, */
    this.value = -1; /* or a value, in place of a box */
    this.heat = false; /* whether colours tell of time */
    this.timeBefore = sumInBoxes(data);
    this.comparison = data.compare ? new Comparison(data) : null;
    this.mark = null; /* {what, of, nodes, counts}: of which nodes the drawing tells, the boxes that were asked about left out */
    this.listeners = [];
    this.#layOut();
  }

  /* Call back with 'layout', 'selection' or 'marks', and for a layout with the box that is to stay where it is. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  #tell(what, anchor) {
    for (const listener of this.listeners)
      listener(what, anchor);
  }

  #layOut() {
    this.layout = new Layout(this.outline, this.open);
    this.rows = this.layout.rows;
    this.rowOf = new Int32Array(this.outline.count); /* of what is shown */
    this.boxes = 0; /* that are closed */
    this.range = null;
    this.heatNs = new Float64Array(this.outline.count); /* what a closed box took, or the longest in an open one */
    for (let row = this.rows.length - 1; row >= 0; row--) {
      const box = this.rows[row], parent = this.outline.parent[box];
      this.rowOf[box] = row;
      if (!this.layout.isOpen(box)) {
        this.boxes++;
        this.heatNs[box] = this.timeOf(box);
      }
      this.heatNs[parent] = Math.max(this.heatNs[parent], this.heatNs[box]);
    }
  }

  /* Nanoseconds of the coolest shade and the hottest: of the closed boxes that took any time a tenth took no more, and none
   * took more. */
  get heatRange() {
    if (!this.range) {
      const times = this.heatNs.filter((ns, box) => ns > 0 && this.layout.shown[box] && !this.isOpen(box)).sort();
      this.range = [times[Math.floor(times.length / 10)] || 1, this.heatNs[0]];
    }
    return this.range;
  }

  /* The shade of a shown box, 0 to HEATS - 1; they are equal ratios of time. */
  heatOf(box) {
    const [cool, hot] = this.heatRange, part = Math.log(this.heatNs[box] / cool) / Math.log(hot / cool || 1);
    return part > 0 ? Math.min(HEATS - 1, Math.floor(part * HEATS)) : 0;
  }

  canOpen(box) {
    return this.outline.end[box] > box + 1;
  }

  isOpen(box) {
    return box === 0 || this.layout.isOpen(box);
  }

  /* The box itself, or what it is folded in. */
  shownOf(box) {
    while (box > 0 && !this.layout.shown[box])
      box = this.outline.parent[box];
    return box;
  }

  name(box) {
    return this.data.texts[this.outline.name[box]];
  }

  detail(box) {
    return this.data.texts[this.outline.detail[box]];
  }

  /* A name without what the row of the box around it says: of parts of one node the part alone. */
  localName(box) {
    const o = this.outline, name = this.name(box);
    let around = o.parent[box];
    while (o.kind[around] === Kind.RUN)
      around = o.parent[around];
    if (o.kind[around] !== Kind.PARTS)
      return name;
    const stem = this.name(around).replace(/^[~−+] | ×\d+$/g, '');
    return name.replace(`${stem}[`, '[').replace(/^([~−+] )?\[([^\]]*)\]$/, '$1$2');
  }

  /* A name that stands by itself. */
  fullName(box) {
    const { data, outline: o } = this, kind = o.kind[box];
    if (kind === Kind.NODE)
      return data.texts[data.nodes.name[o.item[box]]];
    if (kind === Kind.SCOPE)
      return data.texts[o.scope[box]];
    let around = o.parent[box];
    while (around > 0 && o.kind[around] !== Kind.SCOPE)
      around = o.parent[around];
    return around > 0 && !this.comparison ? `${data.texts[o.scope[around]]}.${this.name(box)}` : this.name(box);
  }

  className(box) {
    return this.outline.kind[box] === Kind.INPUT ? 'input' : CLASSES[this.outline.class[box]];
  }

  setOpen(open, anchor) {
    this.open = open;
    this.#layOut();
    if (this.selected !== this.shownOf(this.selected))
      this.select(this.shownOf(this.selected));
    this.#tell('layout', this.shownOf(anchor === undefined ? this.selected : anchor));
  }

  toggle(box) {
    if (box === 0 || !this.canOpen(box))
      return;
    const open = this.open.slice();
    open[box] = open[box] ? 0 : 1;
    this.setOpen(open, box);
  }

  openAll(is) {
    this.setOpen(is ? new Uint8Array(this.outline.count).fill(1) : new Uint8Array(this.outline.count));
    this.#tell('all');
  }

  /* Open what a box is in. */
  reveal(box) {
    if (this.layout.shown[box])
      return;
    const open = this.open.slice();
    for (let b = this.outline.parent[box]; b > 0; b = this.outline.parent[b])
      open[b] = 1;
    this.setOpen(open, box);
  }

  select(box) {
    if (box !== this.selected || this.gap >= 0 || this.value >= 0)
      this.#take(box);
  }

  #take(box, gap = -1, value = -1) {
    Object.assign(this, { selected: box, gap, value });
    this.#tell('selection');
  }

  /* Select a gap of the run, and show what runs after it. */
  selectGap(gap) {
    const node = this.data.run.gaps.node[gap], box = node >= 0 ? this.data.boxOf[node] : 0;
    this.reveal(box);
    this.#take(box, gap);
    this.#tell('arrival');
  }

  /* Select a value, with all of its base, and mark what makes and reads them. */
  selectValue(value) {
    this.#take(0, -1, value);
    this.setMark('value', value);
    this.#tell('arrival');
  }

  /* What no node makes, a parameter for example, is told of as a whole with all that it was cut into; any other value alone. */
  valuesLike(value) {
    const { values } = this.data, isStored = (v) => values.producer[v] < 0;
    this.byBase = this.byBase || groupBy([...values.base.keys()].filter(isStored), (v) => values.base[v]);
    return isStored(value) ? this.byBase.get(values.base[value]) : [value];
  }

  valueName(value) {
    const { values, texts } = this.data;
    return texts[values.producer[value] < 0 ? values.base[value] : values.name[value]];
  }

  makersOf(values) {
    return [...new Set(values.map((value) => this.data.values.producer[value]).filter((node) => node >= 0))];
  }

  readersOf(values) {
    const { data } = this;
    return [...new Set(values.flatMap((value) => Array.from(itemsOf(data.readersOf, value), (read) => data.reads.node[read])))];
  }

  /* Nanoseconds of all nodes in a box: measured, or, without a run, at nominal rates; of runs that are compared, by how
   * much they differ. */
  timeOf(box) {
    return this.comparison && this.comparison.hasRuns ? Math.abs(this.comparison.differenceOf(box))
      : this.timeBefore[this.outline.end[box]] - this.timeBefore[box];
  }

  isFaster(box) {
    return this.comparison !== null && this.comparison.hasRuns && this.comparison.differenceOf(box) < 0;
  }

  timeWords(box) {
    return this.comparison && this.comparison.hasRuns ? difference(this.comparison.differenceOf(box))
      : duration(this.timeOf(box));
  }

  setHeat(is) {
    this.heat = is;
    this.#tell('heat');
  }

  /* Show a box, wherever it is. */
  go(box) {
    this.reveal(box);
    this.select(box);
    this.#tell('arrival');
  }

  /* The box of an input that a value is, or is a tile of; 0: none. */
  inputBoxOf(value) {
    const { values } = this.data;
    if (!this.inputs) {
      this.inputs = new Map();
      for (let b = 1; b < this.outline.count; b++)
        if (this.outline.kind[b] === Kind.INPUT)
          this.inputs.set(values.base[this.outline.item[b]], b);
    }
    return VALUE_KINDS[values.kind[value]] === 'input' ? this.inputs.get(values.base[value]) || 0 : 0;
  }

  goToNode(node) {
    this.go(this.data.boxOf[node]);
  }

  /* Tell of some nodes and pale the others. `what` is 'critical', 'changed', 'measured', 'value', of one, or 'before', 'after' or
   * 'between', of boxes. */
  setMark(what, ...of) {
    const nodes = what === 'value' ? [] : of.map((box) => nodesIn(this.outline, box)), data = this.data;
    const sets = {
      critical: () => setOf(data, data.criticalPath),
      changed: () => (data.compare ? data.compare.sign : setOf(data, [])).map((sign) => (sign > 0 ? 1 : 0)),
      measured: () => setOf(data, data.run ? data.run.path.node : []),
      value: () => setOf(data, [...this.makersOf(this.valuesLike(of[0])), ...this.readersOf(this.valuesLike(of[0]))]),
      before: () => ancestors(data, nodes[0]),
      after: () => descendants(data, nodes[0]),
      between: () => between(data, nodes[0], nodes[1]),
    };
    this.mark = what ? this.#makeMark(what, of, sets[what](), what === 'between' ? [] : nodes.flat()) : null;
    this.#tell('marks');
  }

  #makeMark(what, of, set, without) {
    const inOrder = { critical: this.data.criticalPath, measured: this.data.run ? this.data.run.path.node : [] }[what];
    const own = setOf(this.data, without);
    const nodes = inOrder || Array.from(set.keys()).filter((node) => set[node] && !own[node]);
    return { what, of, nodes: Array.from(nodes), counts: countInBoxes(this.data, set) };
  }

  /* Of two calls the first says from where paths lead, the second to where. */
  markPath() {
    const start = this.pathStart;
    this.pathStart = start === 0 ? this.selected : 0;
    if (start > 0)
      this.setMark('between', start, this.selected);
    else
      this.#tell('path');
  }

  /* Give up what was begun, else what is marked, else what is selected. */
  clear() {
    if (this.pathStart > 0) {
      this.pathStart = 0;
      this.#tell('path');
    } else if (this.mark) {
      this.setMark(null);
    } else {
      this.#take(0);
    }
  }

  toggleMark(what, ...of) {
    const same = this.mark && this.mark.what === what && this.mark.of.join() === of.join();
    if (same)
      this.setMark(null);
    else
      this.setMark(what, ...of);
  }

  markedNodes() {
    return this.mark ? this.mark.nodes.length : 0;
  }

  markWords() {
    const words = { critical: 'on the critical path at nominal rates', changed: 'that differ', measured: 'on the measured critical path',
      before: 'whose data it needs', after: 'that need its data', between: 'on paths of data between the two, with both ends',
      value: `that make or read ${this.mark.of.map((value) => this.valueName(value))}` };
    return `${plural(this.markedNodes(), 'node')} ${words[this.mark.what]}`;
  }

  isMarked(box) {
    return this.mark !== null && !this.isPale(box);
  }

  isPale(box) {
    return this.mark !== null && this.mark.counts[this.outline.end[box]] === this.mark.counts[box];
  }

  /* The box that a wire comes from, in whatever it comes in. */
  sourceOf(wire) {
    const o = this.outline;
    while (o.wires.from[wire] >= o.count)
      wire = o.wires.from[wire] - o.count;
    return o.wires.from[wire];
  }
}
