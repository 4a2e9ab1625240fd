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
    this.gap = -1; /* of the run, in place of a box */
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
    this.units = 0; /* closed boxes, */
    this.hottest = 1; /* and the nanoseconds of that which took longest */
    this.rows.forEach((box, row) => {
      this.rowOf[box] = row;
      if (!this.layout.isOpen(box)) {
        this.units++;
        this.hottest = Math.max(this.hottest, this.timeOf(box));
      }
    });
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
    if (box === this.selected && this.gap < 0)
      return;
    this.selected = box;
    this.gap = -1;
    this.#tell('selection');
  }

  /* Select a gap of the run, and show what runs after it. */
  selectGap(gap) {
    const node = gap >= 0 ? this.data.run.gaps.node[gap] : -1;
    this.selected = node >= 0 ? this.shownOf(this.data.boxOf[node]) : 0;
    this.gap = gap;
    this.#tell('selection');
    this.#tell('arrival');
  }

  /* Nanoseconds of all nodes in a box: measured, or, without a run, at nominal rates; of runs that are compared, by how
   * much they differ. */
  timeOf(box) {
    return this.comparison && this.comparison.hasRuns ? Math.abs(this.comparison.differenceOf(box))
      : this.timeBefore[this.outline.end[box]] - this.timeBefore[box];
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

  /* Tell of some nodes and pale the others. `what` is 'critical', 'changed', 'measured', 'before', 'after' or 'between'; the last
   * three are of boxes. */
  setMark(what, ...of) {
    const nodes = of.map((box) => nodesIn(this.outline, box)), data = this.data;
    const sets = {
      critical: () => setOf(data, data.criticalPath),
      changed: () => (data.compare ? data.compare.sign : setOf(data, [])).map((sign) => (sign > 0 ? 1 : 0)),
      measured: () => setOf(data, data.run ? data.run.path.node : []),
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
      this.select(0);
    }
  }

  toggleMark(what, ...of) {
    const same = this.mark && this.mark.what === what && this.mark.of.join() === of.join();
    if (same)
      this.setMark(null);
    else
      this.setMark(what, ...of);
  }

  /* Open what holds what differs, close the rest, and mark what differs; or end that. */
  toggleChanged() {
    if (!this.comparison)
      return;
    this.toggleMark('changed');
    if (this.mark)
      this.setOpen(this.open.map((_, box) => (this.comparison.opens(box) ? 1 : 0)), 0);
  }

  markedNodes() {
    return this.mark ? this.mark.nodes.length : 0;
  }

  markWords() {
    const words = { critical: 'on the critical path at nominal rates', changed: 'that differ', measured: 'on the measured critical path',
      before: 'that it depends on', after: 'that need it', between: 'on paths between the two, with both ends' };
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
