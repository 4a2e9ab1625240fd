'use strict';

/* What is known of the selected box. */

const IMPLIED = 'Waits that others imply are left out.';
const DATA_ALONE = 'By the values that nodes make and read; waits for memory alone (WAR, WAW, reuse) are not followed.';
const EDGE_WORDS = { RAW: 'the later node reads this value', WAR: 'the later node overwrites this value, which the earlier one reads',
  WAW: 'the later node overwrites this value, which the earlier one writes', after: 'the graph asks for this order',
  reuse: 'the later node puts its result where this value lies, once nothing reads it any more' };

class Details {
  constructor(element, viewer) {
    this.element = element;
    this.viewer = viewer;
    this.cut = viewer.data.splits.split(',').map((one) => one.split('=')[0]); /* axes */
    this.find = () => {}; /* look for some words */
    this.groups = viewer.data.nodes.place.reduce((most, place) => Math.max(most, place + 1), 0); /* of workers; 0: any */
    this.run = viewer.data.run ? new RunDetails(this, viewer) : null;
    this.comparison = viewer.comparison ? new ComparisonDetails(this, viewer) : null;
    viewer.onChange(oncePerFrame(() => this.#fill()));
    this.#fill();
  }

  #fill() {
    const { viewer } = this, box = viewer.selected;
    const node = viewer.outline.kind[box] === Kind.NODE ? viewer.outline.item[box] : -1;
    this.element.replaceChildren(...(viewer.gap >= 0 ? this.run.ofGap(viewer.gap)
      : viewer.value >= 0 ? this.#ofValue(viewer.value) : node >= 0 ? this.#ofNode(box, node) : this.#ofBox(box)));
    this.element.scrollTop = 0;
  }

  text(number) {
    return this.viewer.data.texts[number];
  }

  /* ---- parts of a panel ---- */

  #head(title, subtitle, box) {
    return make('header', {},
      make('h2', {}, title), make('p', {}, this.#sign(box), ` ${this.viewer.className(box)}${subtitle}`));
  }

  #sign(box) {
    const name = this.viewer.className(box);
    return make('span', { class: `sign ${name}`, title: name }, `${CLASS_SIGNS[name]} `);
  }

  section(title, ...inside) {
    return inside.length === 0 ? null : make('section', {}, make('h3', {}, title), ...inside);
  }

  /* Pairs of a word and what it stands for; those that stand for nothing are left out. */
  facts(title, ...pairs) {
    const list = make('dl', {});
    for (const [word, value] of pairs)
      if (value !== '')
        list.append(make('dt', {}, word), make('dd', {}, value));
    return this.section(title, list);
  }

  list(title, items, note = '', most = 24) {
    return this.section(title, ...(items.length > 0 ? [note ? make('p', {}, note) : null, this.folding(items, most)] : []));
  }

  table(title, head, rows) {
    const cell = (scope) => (inside, k) => make(k === 0 || scope === 'col' ? 'th' : 'td', { scope: k === 0 ? scope : scope === 'col' && scope }, inside);
    return this.section(title, make('table', {}, make('tr', {}, ...head.map(cell('col'))),
      ...rows.map((row) => make('tr', {}, ...row.map(cell('row'))))));
  }

  /* The first of many, and a way to the others. */
  folding(items, most = 24) {
    const list = make('ul', {}, ...items.slice(0, most).map((item) => make('li', {}, item())));
    const rest = items.slice(most);
    if (rest.length > 0) {
      const more = make('button', { type: 'button', class: 'more', onclick: () => {
        more.parentElement.remove();
        list.append(...rest.map((item) => make('li', {}, item())));
      } }, `${rest.length.toLocaleString('en')} more`);
      list.append(make('li', {}, more));
    }
    return list;
  }

  #link(box, words) {
    return make('button', { type: 'button', class: 'link', onclick: () => this.viewer.go(box) }, words);
  }

  linkToNode(node) {
    return this.#link(this.viewer.data.boxOf[node], this.text(this.viewer.data.nodes.name[node]));
  }

  #actions(box) {
    const action = (words, key, what) => make('button', { type: 'button', title: DATA_ALONE, onclick: () => this.viewer.toggleMark(what, box),
      'aria-keyshortcuts': key, 'aria-pressed': String(this.#isMarked(what, box)) }, words, ' ', make('kbd', {}, key));
    const path = make('button', { type: 'button', onclick: () => this.viewer.markPath(), 'aria-keyshortcuts': 'p' },
      this.viewer.pathStart > 0 ? 'Paths to here' : 'Paths from here', ' ', make('kbd', {}, 'p'));
    return make('div', { class: 'actions' }, action('Depends on', 'a', 'before'), action('Needed by', 'd', 'after'), path);
  }

  #isMarked(what, box) {
    const mark = this.viewer.mark;
    return mark !== null && mark.what === what && mark.of[0] === box;
  }

  /* What the drawing tells of. */
  #marked() {
    const { viewer } = this, { mark, data } = viewer;
    if (!mark || mark.what === 'changed' || mark.nodes.length === 0)
      return [];
    if (mark.what === 'measured')
      return this.run.ofPath();
    const timeOf = mark.what === 'critical' ? (node) => data.nodes.costNs[node] : (node) => nodeTime(data, node);
    const time = mark.nodes.reduce((sum, node) => sum + timeOf(node), 0);
    const items = mark.nodes.map((node) => () => make('div', {}, this.linkToNode(node), ` ${duration(timeOf(node))}`));
    const about = mark.of.length > 0 && mark.what !== 'value' ? ` ${DATA_ALONE}` : '';
    return [this.list(viewer.markWords(), items,
      `${duration(time)} together${data.run && mark.what !== 'critical' ? ', in kernels' : ', at nominal rates'}.${about}`)];
  }

  #compared(box) {
    return this.comparison ? this.comparison.of(box) : [];
  }

  /* ---- a node ---- */

  #ofNode(box, node) {
    const { data } = this.viewer, { nodes } = data, name = this.text(nodes.name[node]);
    return [
      this.#head(name, `: ${this.text(nodes.op[node])}`, box),
      this.#actions(box),
      ...this.#marked(),
      ...this.#compared(box),
      this.facts('Node',
        ['op', [this.text(nodes.op[node]), this.text(nodes.attributes[node])].filter(Boolean).join(' ')],
        ['scope', this.text(nodes.scope[node])],
        ['part', this.text(nodes.part[node]) || this.#whyWhole(node)],
        ['made from', this.#origin(node)],
        ['place', nodes.place[node] < 0 ? '' : `group ${nodes.place[node]} of workers, of ${this.groups} from 0 on`],
        ['work', `${quantity(nodes.flops[node], 'FLOP')}, ${quantity(nodes.bytes[node], 'B')}`],
        ['time', `${duration(nodes.costNs[node])} at nominal rates`],
        ...(this.run ? this.run.timing(node) : []),
        ['slack', this.#slack(node)]),
      this.list('Makes', [...itemsOf(data.resultsOf, node)].map((value) => () => this.#value(value, false))),
      this.list('Is read by', this.viewer.readersOf([...itemsOf(data.resultsOf, node)]).map((reader) => () => this.linkToNode(reader))),
      this.list('Reads', [...itemsOf(data.readsOf, node)].map((read) => () => this.#read(read))),
      this.list('Waits for', [...itemsOf(data.waitsOf, node)].map((wait) => () => this.wait(wait, data.waits.from[wait])),
        IMPLIED),
      this.list('Is waited for by',
        [...itemsOf(data.waitersOf, node)].map((wait) => () => this.wait(wait, data.waits.node[wait])), IMPLIED),
    ].filter(Boolean);
  }

  /* The node as written that this is part of, or was inserted for: what the names of all that come from it have in common. */
  #origin(node) {
    const { nodes } = this.viewer.data;
    if (this.comparison)
      return ''; /* of which of the two? */
    this.origins = this.origins || groupBy(nodes.origin.keys(), (other) => nodes.origin[other]);
    const all = this.origins.get(nodes.origin[node]);
    const names = all.map((other) => this.text(nodes.name[other]).replace(/\[[^\]]*\]/g, ''));
    return all.length < 2 ? '' : `${names.reduce((a, b) => (b.length < a.length ? b : a))} as written, one of ${plural(all.length, 'node')}`;
  }

  /* Why a node of a split graph has no parts; '' of other graphs. */
  #whyWhole(node) {
    const { data } = this.viewer;
    if (!data.splits)
      return '';
    const reasons = Array.from(itemsOf(data.resultsOf, node), (value) => this.#reasonOf(value)).filter(Boolean);
    const told = reasons.filter((reason) => reason !== this.#uncut);
    return ['whole', ...new Set(told.length > 0 ? told : reasons)].join(': ');
  }

  /* Why a value of a split graph was left whole; '' if it wasn't. */
  #reasonOf(value) {
    const { values, nodes } = this.viewer.data, shape = this.text(values.shape[value]), maker = values.producer[value];
    if (maker >= 0 && this.text(nodes.part[maker]) && !this.text(values.whole[value]))
      return ''; /* a part's own share of a sum */
    return this.text(values.whole[value]) || (this.cut.some((axis) => shape.includes(`(${axis} `) || shape.includes(`, ${axis} `)) ? ''
      : this.#uncut);
  }

  get #uncut() {
    return `its results have no axis that is cut (${this.cut.join(', ')})`;
  }

  /* How much later it may begin; there may be several longest paths, of which one is called critical. */
  #slack(node) {
    const { criticalPath, nodes } = this.viewer.data, slack = nodes.slackNs[node];
    if (criticalPath.includes(node))
      return 'none: on the critical path at nominal rates';
    return slack > 0 ? duration(slack) : 'none: on another path that takes as long as the critical one';
  }

  /* Of two graphs what the first alone reads stands last. */
  #read(read) {
    const { reads, compare } = this.viewer.data, value = this.#value(reads.value[read], true);
    if (compare && read >= reads.node.length - compare.onlyA)
      value.prepend(make('span', {}, `${SIGNS[2]} ${SIGN_WORDS[2]}`));
    return value;
  }

  /* A value with its shape; of one that is read, what made it. */
  #value(value, isRead) {
    const { values } = this.viewer.data, producer = values.producer[value], whole = this.text(values.whole[value]);
    const lines = [this.#linkToValue(value, this.text(values.name[value])), make('span', { class: 'shape' },
      `${this.text(values.shape[value])}, ${quantity(values.bytes[value], 'B')}`)];
    if (isRead)
      lines.push(make('span', {}, ...this.#maker(value, producer)));
    if (!isRead && values.isOutput[value])
      lines.push(make('span', {}, 'an output: its value is kept'));
    if (values.overwrites[value] >= 0)
      lines.push(make('span', {}, `written over ${this.text(values.name[values.overwrites[value]])}`));
    if (whole)
      lines.push(make('span', { class: 'whole' }, `left whole: ${whole}`));
    return make('div', { class: 'value' }, ...lines);
  }

  #linkToValue(value, words) {
    return make('button', { type: 'button', class: 'link', onclick: () => this.viewer.selectValue(value) }, make('b', {}, words));
  }

  #maker(value, producer) {
    const input = this.viewer.inputBoxOf(value), kind = VALUE_KINDS[this.viewer.data.values.kind[value]];
    if (producer >= 0)
      return ['from ', this.linkToNode(producer)];
    return [input > 0 ? this.#link(input, kind) : kind];
  }

  /* "RAW on value, from node"; most values have the name of the node that makes them. */
  wait(wait, other) {
    const { waits, values, nodes } = this.viewer.data, kind = EDGE_KINDS[waits.kind[wait]], isFrom = other === waits.from[wait];
    const value = this.text(values.name[waits.value[wait]]), named = isFrom && value === this.text(nodes.name[other]);
    return make('div', { class: 'value' },
      make('span', {}, make('span', { class: 'kind' }, kind), ' on ', named ? this.linkToNode(other) : make('b', {}, value)),
      make('span', { class: 'shape' }, EDGE_WORDS[kind]),
      named ? null : make('span', {}, isFrom ? 'from ' : 'by ', this.linkToNode(other)));
  }

  /* ---- any other box ---- */

  #ofBox(box) {
    const { viewer } = this, { outline: o, data } = viewer, nodes = nodesIn(o, box), whole = box === 0;
    if (o.kind[box] === Kind.INPUT)
      return this.#ofInput(box);
    const counted = this.comparison ? nodes.filter((node) => data.compare.sign[node] !== Sided.FIRST) : nodes;
    const sum = (column) => counted.reduce((total, node) => total + column[node], 0);
    const heading = whole ? (this.comparison ? 'Both graphs' : 'The whole graph') : viewer.fullName(box);
    const ops = this.comparison ? null : this.#ops(nodes);
    return [
      whole ? make('header', {}, make('h2', {}, heading)) : this.#head(heading, '', box),
      whole ? null : this.#actions(box),
      ...this.#marked(),
      ...this.#compared(box),
      ...(whole && this.run ? [...this.run.ofAll(), ops, this.run.gaps()] : []),
      this.facts('Holds',
        ['nodes', nodes.length.toLocaleString('en')],
        ['boxes inside', o.members[box].toLocaleString('en')],
        ['split', !whole ? '' : data.splits ? this.#splits() : 'not split'],
        [this.comparison ? 'work of the second' : 'work', `${quantity(sum(data.nodes.flops), 'FLOP')}, ${quantity(sum(data.nodes.bytes), 'B')}`],
        ['ran', data.run ? `${duration(viewer.timeOf(box))} in kernels` : ''],
        ['time', `${duration(sum(data.nodes.costNs))} at nominal rates, one after another`],
        ['critical path', whole ? `${duration(data.criticalNs)}, ${plural(data.criticalPath.length, 'node')}, each as a task of its own` : '']),
      whole ? this.#places() : null,
      ...(whole ? [] : this.#around(box, nodes)),
      whole && this.run ? null : ops,
      whole ? this.#wholes() : null,
    ].filter(Boolean);
  }

  /* How nodes and time are shared out among groups of workers. */
  #places() {
    const { data } = this.viewer, { place } = data.nodes;
    if (this.groups === 0)
      return null;
    const sum = (nodes) => nodes.reduce((total, node) => total + nodeTime(data, node), 0), all = sum([...place.keys()]);
    const groups = [...groupBy(place.keys(), (node) => place[node])].sort(([a], [b]) => a - b);
    return this.table(`${plural(this.groups, 'group')} of workers, by stages or spread`, ['group', 'nodes', 'time', ''],
      groups.map(([group, nodes]) => [group < 0 ? 'any' : String(group), nodes.length.toLocaleString('en'), duration(sum(nodes)), share(sum(nodes), all)]));
  }

  /* What a group has to do with what is outside of it, summed up for each box beside it, or beside what it is in. */
  #around(box, nodes) {
    const { data, outline: o } = this.viewer, { values, reads, waits } = data;
    const isIn = (inner, outer) => inner >= outer && inner < o.end[outer];
    const beside = (other) => {
      let b = data.boxOf[other];
      while (!isIn(box, o.parent[b]))
        b = o.parent[b];
      return b;
    };
    const outside = (node) => !isIn(data.boxOf[node], box);
    const read = nodes.flatMap((node) => Array.from(itemsOf(data.readsOf, node), (r) => reads.value[r]))
      .filter((value) => values.producer[value] < 0 || outside(values.producer[value]));
    const readBy = nodes.flatMap((node) => [...itemsOf(data.resultsOf, node)]).flatMap((value) =>
      Array.from(itemsOf(data.readersOf, value), (r) => [value, reads.node[r]])).filter(([, node]) => outside(node));
    const waited = nodes.flatMap((node) => [...itemsOf(data.waitsOf, node)]).filter((wait) => outside(waits.from[wait]));
    const waiters = nodes.flatMap((node) => [...itemsOf(data.waitersOf, node)]).filter((wait) => outside(waits.node[wait]));
    const sizes = (all) => {
      const different = [...new Set(all)];
      return `${plural(different.length, 'value')}, ${quantity(different.reduce((sum, value) => sum + values.bytes[value], 0), 'B')}`;
    };
    const kinds = (all) => [...groupBy(all, (wait) => waits.kind[wait])].map(([kind, some]) => `${EDGE_KINDS[kind]} ×${some.length}`).join(', ');
    /* The first of a stored value's tiles stands for all, as -1 - its number. */
    const source = (value) => (values.producer[value] >= 0 ? beside(values.producer[value])
      : this.viewer.inputBoxOf(value) || -1 - this.viewer.valuesLike(value)[0]);
    return [
      this.#sums('Reads', read, source, sizes),
      this.#sums('Is read by', readBy, ([, node]) => beside(node), (all) => sizes(all.map(([value]) => value))),
      this.#sums('Waits for', waited, (wait) => beside(waits.from[wait]), kinds, IMPLIED),
      this.#sums('Is waited for by', waiters, (wait) => beside(waits.node[wait]), kinds, IMPLIED),
    ];
  }

  /* A line for each box, or -1 - value, that items have to do with; those with most items first. */
  #sums(title, items, keyOf, words, note) {
    const groups = [...groupBy(items, keyOf)].sort(([a, x], [b, y]) => y.length - x.length || a - b);
    return this.list(title, groups.map(([key, all]) => () => make('div', {}, ...key >= 0 ? [this.#sign(key), this.#link(key, this.viewer.fullName(key))]
      : [this.#linkToValue(-1 - key, this.viewer.valueName(-1 - key))], ` ${words(all)}`)), note, 12);
  }

  /* A value, or all that one was cut into: what makes it and who reads it. */
  #ofValue(value) {
    const { viewer } = this, { values } = viewer.data, all = viewer.valuesLike(value);
    const links = (nodes) => nodes.map((node) => () => this.linkToNode(node));
    const later = all.length === 1 ? [] : all.map((one) => () => make('div', {}, make('b', {}, this.text(values.name[one])),
      ` ${this.text(values.shape[one])}`));
    return [
      make('header', {}, make('h2', {}, viewer.valueName(value)), make('p', {}, VALUE_KINDS[values.kind[value]])),
      this.facts('Value',
        ['shape', all.length === 1 ? this.text(values.shape[value]) : `cut into ${all.length} parts`],
        ['size', quantity(all.reduce((sum, one) => sum + values.bytes[one], 0), 'B')]),
      this.list('Made by', links(viewer.makersOf(all))),
      this.list('Read by', links(viewer.readersOf(all))),
      this.list('Overwritten by', links(viewer.makersOf([...values.overwrites.keys()].filter((v) => all.includes(values.overwrites[v]))))),
      this.list('Its parts', later),
    ].filter(Boolean);
  }

  /* "batch=2, heads=3 in tiles of 1 to 2": how large they are where they aren't equal. */
  #splits() {
    const { splits, texts, values } = this.viewer.data, sizes = new Map();
    for (const shape of new Set(values.shape))
      for (const [, axis, extent] of texts[shape].matchAll(/(\w+) (\d+) of \d+ at/g))
        sizes.set(axis, [...(sizes.get(axis) || []), Number(extent)]);
    return splits.split(',').map((cut) => {
      const all = sizes.get(cut.split('=')[0]) || [0], least = Math.min(...all), most = Math.max(...all);
      return least < most ? `${cut} in tiles of ${least} to ${most}` : cut;
    }).join(', ');
  }

  /* Ops by their time; an op's name finds its nodes. */
  #ops(nodes) {
    const { data } = this.viewer, timeOf = (some) => some.reduce((sum, node) => sum + nodeTime(data, node), 0), all = timeOf(nodes);
    const ops = [...groupBy(nodes, (node) => data.nodes.op[node])].map(([op, some]) => [this.text(op), some.length, timeOf(some)])
      .sort((a, b) => b[2] - a[2] || (a[0] < b[0] ? -1 : 1));
    return ops.length === 0 ? null : this.table(data.run ? 'Ops, measured' : 'Ops, at nominal rates', ['op', 'nodes', 'time', 'of all'],
      ops.map(([op, count, ns]) => [this.#linkToOp(op), count.toLocaleString('en'), duration(ns), share(ns, all)]));
  }

  /* It breaks after underscores, if it must. */
  #linkToOp(op) {
    const parts = op.split(/(?<=_)/).flatMap((part) => [make('wbr', {}), part]);
    return make('button', { type: 'button', class: 'link', title: `Find all ${op}`, onclick: () => this.find(`op=${op}`) }, ...parts);
  }

  /* Nodes with results that splits might have cut and left whole, by reason. */
  #wholes() {
    const { values, splits } = this.viewer.data, reasons = new Map();
    for (let value = 0; splits && value < values.whole.length; value++) {
      const reason = this.text(values.whole[value]);
      if (reason && values.producer[value] >= 0)
        reasons.set(reason, (reasons.get(reason) || new Set()).add(values.producer[value]));
    }
    const items = [...reasons].map(([reason, nodes]) => () => make('details', {},
      make('summary', {}, `${reason} (${plural(nodes.size, 'node')})`),
      this.folding([...nodes].map((node) => () => this.linkToNode(node)))));
    return splits ? this.list('Left whole by splits', items) || this.section('Left whole by splits', make('p', {}, 'nothing that has an axis that is cut')) : null;
  }

  #ofInput(box) {
    const { viewer } = this, { data } = viewer, readers = new Set();
    for (let value = 0; value < data.nValues; value++)
      if (viewer.inputBoxOf(value) === box)
        for (const read of itemsOf(data.readersOf, value))
          readers.add(data.reads.node[read]);
    return [
      this.#head(this.viewer.name(box), '', box),
      this.facts('Input', ['shape', this.viewer.detail(box)]),
      this.list('Read by', [...readers].map((node) => () => this.linkToNode(node))),
    ];
  }
}
