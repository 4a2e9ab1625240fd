'use strict';

/* What is known of the selected box. */

const IMPLIED = 'Waits that others imply are left out.';
const EDGE_WORDS = { RAW: 'it reads what that writes', WAR: 'it overwrites what that reads', WAW: 'it overwrites what that writes',
  after: 'the graph asks for this order', reuse: 'its result goes where that value lies, which is read until then' };

class Details {
  constructor(element, viewer) {
    this.element = element;
    this.viewer = viewer;
    this.cut = viewer.data.splits.split(',').map((one) => one.split('=')[0]); /* axes */
    this.comparison = viewer.comparison ? new ComparisonDetails(this, viewer) : null;
    viewer.onChange(oncePerFrame(() => this.#fill()));
    this.#fill();
  }

  #fill() {
    const { viewer } = this, box = viewer.selected;
    const node = viewer.outline.kind[box] === Kind.NODE ? viewer.outline.item[box] : -1;
    if (viewer.gap >= 0)
      this.element.replaceChildren(...this.#ofGap(viewer.gap));
    else
      this.element.replaceChildren(...(node >= 0 ? this.#ofNode(box, node) : this.#ofBox(box)));
    this.element.scrollTop = 0;
  }

  text(number) {
    return this.viewer.data.texts[number];
  }

  /* ---- parts of a panel ---- */

  #head(title, subtitle, box) {
    const name = this.viewer.className(box);
    return make('header', {},
      make('h2', {}, title),
      make('p', {}, make('span', { class: `sign ${name}` }, CLASS_SIGNS[name]), ` ${CLASS_WORDS[name]}${subtitle}`));
  }

  section(title, ...inside) {
    return inside.length === 0 ? null : make('section', {}, make('h3', {}, title), ...inside);
  }

  /* Pairs of a word and what it stands for; those that stand for nothing are left out. */
  #facts(title, ...pairs) {
    const list = make('dl', {});
    for (const [word, value] of pairs)
      if (value !== '')
        list.append(make('dt', {}, word), make('dd', {}, value));
    return this.section(title, list);
  }

  list(title, items, note = '') {
    return this.section(title, ...(items.length > 0 ? [note ? make('p', {}, note) : null, this.#folding(items)] : []));
  }

  /* The first of many, and a way to the others. */
  #folding(items, most = 24) {
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
    const action = (words, key, what) => make('button', { type: 'button', onclick: () => this.viewer.toggleMark(what, box),
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
      return null;
    const timeOf = mark.what === 'critical' ? (node) => data.nodes.costNs[node] : (node) => nodeTime(data, node);
    const time = mark.nodes.reduce((sum, node) => sum + timeOf(node), 0);
    const items = mark.nodes.map((node) => () => make('div', {}, this.linkToNode(node), ` ${duration(timeOf(node))}`));
    return this.list(viewer.markWords(), items,
      `${duration(time)} together${data.run && mark.what !== 'critical' ? ', in kernels' : ', at nominal rates'}.`);
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
      this.#marked(),
      ...this.#compared(box),
      this.#facts('Node',
        ['op', [this.text(nodes.op[node]), this.text(nodes.attributes[node])].filter(Boolean).join(' ')],
        ['scope', this.text(nodes.scope[node])],
        ['part', this.text(nodes.part[node]) || this.#whyWhole(node)],
        ['made from', nodes.origin[node] === node ? '' : `node ${nodes.origin[node]} as written`],
        ['place', nodes.place[node] < 0 ? '' : `group ${nodes.place[node]}`],
        ['work', `${quantity(nodes.flops[node], 'FLOP')}, ${quantity(nodes.bytes[node], 'B')}`],
        ['time', `${duration(nodes.costNs[node])} at nominal rates`],
        ...this.#timing(node),
        ['slack', this.#slack(node)]),
      this.list('Makes', [...itemsOf(data.resultsOf, node)].map((value) => () => this.#value(value, false))),
      this.list('Reads', [...itemsOf(data.readsOf, node)].map((read) => () => this.#read(read))),
      this.list('Waits for', [...itemsOf(data.waitsOf, node)].map((wait) => () => this.#wait(wait, data.waits.from[wait])),
        IMPLIED),
      this.list('Is waited for by',
        [...itemsOf(data.waitersOf, node)].map((wait) => () => this.#wait(wait, data.waits.node[wait])), IMPLIED),
    ].filter(Boolean);
  }

  /* Why a node of a split graph has no parts; '' of other graphs. */
  #whyWhole(node) {
    const { data } = this.viewer;
    if (!data.splits)
      return '';
    const reasons = Array.from(itemsOf(data.resultsOf, node), (value) => this.#reasonOf(value)).filter(Boolean);
    return ['whole', ...new Set(reasons)].join(': ');
  }

  /* Why a value of a split graph was left whole; '' if it wasn't. */
  #reasonOf(value) {
    const { values, nodes } = this.viewer.data, shape = this.text(values.shape[value]), maker = values.producer[value];
    if (maker >= 0 && this.text(nodes.part[maker]) && !this.text(values.whole[value]))
      return ''; /* a part's own share of a sum */
    return this.text(values.whole[value]) || (this.cut.some((axis) => shape.includes(`(${axis} `) || shape.includes(`, ${axis} `)) ? ''
      : `its results have no axis that is cut (${this.cut.join(', ')})`);
  }

  /* How much later it may begin; there may be several longest paths, of which one is called critical. */
  #slack(node) {
    const { criticalPath, nodes } = this.viewer.data, slack = nodes.slackNs[node];
    if (criticalPath.includes(node))
      return 'none: on the critical path at nominal rates';
    return slack > 0 ? duration(slack) : '0, but on another path as long';
  }

  /* When and where it ran. */
  #timing(node) {
    const { run, nodes } = this.viewer.data;
    if (!run)
      return [];
    const { timings } = run, took = timings.endNs[node] - timings.startNs[node];
    const rate = took > 0 ? `, ${quantity(nodes.flops[node] / took * 1e9, 'FLOP/s')}, ${quantity(nodes.bytes[node] / took * 1e9, 'B/s')}` : '';
    return [
      ['ran', `${duration(took)}${rate}`],
      ['where', `worker ${timings.worker[node]}, task ${timings.task[node]}`],
      ['when', `${instant(timings.startNs[node])} to ${instant(timings.endNs[node])}`],
      ['ready', `${instant(timings.readyNs[node])}, submitted ${instant(timings.submitNs[node])}`],
    ];
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
    const lines = [make('b', {}, this.text(values.name[value])), make('span', { class: 'shape' },
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

  #maker(value, producer) {
    const input = this.viewer.inputBoxOf(value), kind = VALUE_KINDS[this.viewer.data.values.kind[value]];
    if (producer >= 0)
      return ['from ', this.linkToNode(producer)];
    return [input > 0 ? this.#link(input, kind) : kind];
  }

  /* "RAW on value, from node"; most values have the name of the node that makes them. */
  #wait(wait, other) {
    const { waits, values, nodes } = this.viewer.data, kind = EDGE_KINDS[waits.kind[wait]], isFrom = other === waits.from[wait];
    const value = this.text(values.name[waits.value[wait]]), named = isFrom && value === this.text(nodes.name[other]);
    return make('div', { class: 'value' },
      make('span', {}, make('span', { class: 'kind' }, kind), ' on ', named ? this.linkToNode(other) : make('b', {}, value)),
      make('span', { class: 'shape' }, EDGE_WORDS[kind]),
      named ? null : make('span', {}, isFrom ? 'from ' : 'by ', this.linkToNode(other)));
  }

  /* ---- a gap ---- */

  #ofGap(gap) {
    const { data } = this.viewer, { gaps } = data.run, node = gaps.node[gap], wait = gaps.wait[gap];
    const idle = gaps.cause[gap] !== Gap.RUNTIME;
    return [
      make('header', {}, make('h2', {}, `Worker ${gaps.worker[gap]}: ${idle ? 'idle' : 'runtime'}`),
        make('p', {}, gapWords(data, gap))),
      this.#facts('Gap', ['length', duration(gaps.endNs[gap] - gaps.beginNs[gap])],
        ['when', `${instant(gaps.beginNs[gap])} to ${instant(gaps.endNs[gap])}`]),
      this.list('Waits for', wait < 0 ? [] : [() => this.#wait(wait, data.waits.from[wait])]),
      wait < 0 ? null : this.#facts('What it waits for', ...this.#timing(data.waits.from[wait])),
      this.list('Runs next', node < 0 ? [] : [() => this.linkToNode(node)]),
    ].filter(Boolean);
  }

  /* ---- a run ---- */

  #ofRun() {
    const { viewer } = this, { run } = viewer.data;
    if (!run)
      return [];
    const percent = (ns) => `${(100 * ns / run.wallNs).toFixed(1)} %`, { workers, gaps } = run;
    const head = make('tr', {}, ...['worker', 'kernels', 'idle', 'runtime'].map((word) => make('th', { scope: 'col' }, word)));
    const rows = Array.from(workers.device, (device, w) => make('tr', {},
      make('th', { scope: 'row' }, `${w} ${this.text(device)}`),
      ...[workers.taskNs[w], workers.idleNs[w], workers.runtimeNs[w]].map((ns) => make('td', {}, percent(ns)))));
    const longest = Array.from(gaps.worker.keys())
      .sort((a, b) => (gaps.endNs[b] - gaps.beginNs[b]) - (gaps.endNs[a] - gaps.beginNs[a]) || a - b).slice(0, 200);
    return [
      this.section('What bounds this run', make('p', {}, run.summary)),
      this.section('Where the time went', make('table', {}, head, ...rows)),
      this.list('Longest gaps', longest.map((gap) => () => make('button', { type: 'button', class: 'link',
        onclick: () => viewer.selectGap(gap) },
      `${duration(gaps.endNs[gap] - gaps.beginNs[gap])} on worker ${gaps.worker[gap]}: ${gapWords(viewer.data, gap)}`))),
    ];
  }

  /* ---- any other box ---- */

  #ofBox(box) {
    const { viewer } = this, { outline: o, data } = viewer, nodes = nodesIn(o, box);
    if (o.kind[box] === Kind.INPUT)
      return this.#ofInput(box);
    const scope = this.text(o.scope[box]);
    const counted = this.comparison ? nodes.filter((node) => data.compare.sign[node] !== Sided.FIRST) : nodes;
    const sum = (column) => counted.reduce((total, node) => total + column[node], 0);
    const heading = box === 0 ? (this.comparison ? 'Both graphs' : 'The whole graph') : scope || viewer.name(box);
    return [
      box === 0 ? make('header', {}, make('h2', {}, heading)) : this.#head(heading, '', box),
      box === 0 ? null : this.#actions(box),
      this.#marked(),
      ...this.#compared(box),
      ...(box === 0 ? this.#ofRun() : []),
      this.#facts('Holds',
        ['nodes', plural(nodes.length, 'node')],
        ['boxes', plural(o.members[box], 'box', 'boxes')],
        ['split', box !== 0 ? '' : data.splits ? this.#splits() : 'not split'],
        [this.comparison ? 'work of the second' : 'work', `${quantity(sum(data.nodes.flops), 'FLOP')}, ${quantity(sum(data.nodes.bytes), 'B')}`],
        ['ran', data.run ? `${duration(viewer.timeOf(box))} in kernels` : ''],
        ['time', `${duration(sum(data.nodes.costNs))} at nominal rates, one after another`],
        ['critical path', box === 0 ? `${duration(data.criticalNs)}, ${plural(data.criticalPath.length, 'node')}, each as a task of its own` : '']),
      this.comparison ? null : this.#ops(nodes),
      box === 0 ? this.#wholes() : null,
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

  #ops(nodes) {
    const { data } = this.viewer, counts = new Map();
    for (const node of nodes) {
      const op = this.text(data.nodes.op[node]), count = counts.get(op) || { nodes: 0, ns: 0 };
      counts.set(op, { nodes: count.nodes + 1, ns: count.ns + nodeTime(data, node) });
    }
    const sorted = [...counts].sort((a, b) => b[1].ns - a[1].ns || (a[0] < b[0] ? -1 : 1));
    const rows = sorted.map(([op, count]) => make('tr', {}, make('th', { scope: 'row' }, op),
      make('td', {}, `×${count.nodes}`), make('td', {}, duration(count.ns)),
      make('td', { class: 'bar', 'aria-hidden': 'true' }, this.#bar(count.ns / (sorted[0][1].ns || 1)))));
    return rows.length === 0 ? null
      : this.section(data.run ? 'Ops, measured' : 'Ops, at nominal rates', make('table', {}, ...rows));
  }

  #bar(part) {
    const bar = make('span', {});
    bar.style.width = `${(100 * part).toFixed(1)}%`;
    return bar;
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
      this.#folding([...nodes].map((node) => () => this.linkToNode(node)))));
    return this.list('Left whole by splits', items);
  }

  #ofInput(box) {
    const { viewer } = this, { data } = viewer, readers = new Set();
    for (let value = 0; value < data.nValues; value++)
      if (viewer.inputBoxOf(value) === box)
        for (const read of itemsOf(data.readersOf, value))
          readers.add(data.reads.node[read]);
    return [
      this.#head(this.viewer.name(box), '', box),
      this.#facts('Input', ['shape', this.viewer.detail(box)]),
      this.list('Read by', [...readers].map((node) => () => this.linkToNode(node))),
    ];
  }
}
