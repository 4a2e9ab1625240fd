'use strict';

/* Keys that work wherever the focus is, but in fields; arrows follow wires while the canvas has it. */

/* The first box that a box reads from, or that reads from it: a node's own maker and reader, be they folded. */
function follow(viewer, box, outward) {
  const { data, outline: o } = viewer;
  if (o.kind[box] === Kind.INPUT && outward)
    return data.boxOf[viewer.readersOf([...data.values.base.keys()].filter((value) => viewer.inputBoxOf(value) === box))[0]] || 0;
  for (const node of nodesIn(o, box)) {
    const values = outward ? itemsOf(data.resultsOf, node) : itemsOf(data.readsOf, node).map((read) => data.reads.value[read]);
    for (const value of values)
      for (const other of outward ? itemsOf(data.readersOf, value).map((read) => data.reads.node[read])
        : [data.values.producer[value]]) {
        const next = other >= 0 ? data.boxOf[other] : viewer.inputBoxOf(value);
        if (next > 0 && (next < box || next >= o.end[box]))
          return next;
      }
  }
  return 0;
}

/* The box beside a box, in the same rank, or before or after all of it. */
function beside(viewer, box, step) {
  const o = viewer.outline, parent = o.parent[box], all = [];
  for (let c = parent + 1; c < o.end[parent]; c = o.end[c])
    all.push(c);
  all.sort((a, b) => o.rank[a] - o.rank[b] || a - b);
  return all[Math.max(0, Math.min(all.length - 1, all.indexOf(box) + step))];
}

class Keys {
  constructor(parts) {
    Object.assign(this, parts);
    document.addEventListener('keydown', (event) => this.#press(event));
    byId('canvas').addEventListener('keydown', (event) => this.#move(event));
  }

  #press(event) {
    const inField = event.target.matches('input, textarea, select');
    if (inField || event.ctrlKey || event.altKey || event.metaKey || byId('help').open)
      return;
    const action = this.actions()[event.key];
    if (!action || (event.key === 'Enter' && event.target.matches('button, summary, a')))
      return;
    event.preventDefault();
    action();
  }

  actions() {
    const { viewer, camera, commands } = this, selected = viewer.selected;
    const zoom = (factor) => {
      camera.zoom(factor, camera.width / 2, camera.height / 2);
      commands.moved();
    };
    return {
      '/': () => byId('search').select(),
      Enter: () => viewer.toggle(selected),
      Escape: () => commands.clear(),
      c: () => viewer.toggleMark('critical'),
      m: () => viewer.data.run && viewer.toggleMark('measured'),
      h: () => viewer.setHeat(!viewer.heat),
      x: () => viewer.comparison && viewer.comparison.toggle(viewer),
      a: () => selected > 0 && viewer.toggleMark('before', selected),
      d: () => selected > 0 && viewer.toggleMark('after', selected),
      p: () => selected > 0 && viewer.markPath(),
      '[': () => history.back(),
      ']': () => history.forward(),
      '+': () => zoom(1.25),
      '=': () => zoom(1.25),
      '-': () => zoom(0.8),
      0: () => commands.fit(),
      f: () => commands.center(),
      u: () => viewer.openAll(true),
      r: () => commands.reset(),
      o: () => viewer.openAll(false),
      t: () => this.tree.focus(),
      g: () => byId('canvas').focus(),
      w: () => byId('timeline').focus(),
      '?': () => commands.help(),
    };
  }

  #move(event) {
    const { viewer } = this, box = viewer.selected;
    const to = {
      ArrowUp: () => follow(viewer, box, false),
      ArrowDown: () => follow(viewer, box, true),
      ArrowLeft: () => beside(viewer, box, -1),
      ArrowRight: () => beside(viewer, box, 1),
    }[event.key];
    if (!to || event.ctrlKey || event.altKey || event.metaKey)
      return;
    event.preventDefault();
    const next = box === 0 ? viewer.rows[0] : to();
    if (next > 0)
      viewer.go(viewer.shownOf(next));
  }
}
