'use strict';

/* A measured run, and what the details say of it: what bounds it, its gaps, and its measured critical path. */

const Gap = { WAIT: 0, SUBMIT: 1, END: 2, RUNTIME: 3, QUEUED: 4, OUTSIDE: 5 };
const isRuntime = (cause) => cause === Gap.RUNTIME || cause === Gap.OUTSIDE;
const FEW = 8; /* of what there is much of */
const MOST_SCOPES = 24;
const SHORT = 200; /* a turn that takes less than one of so many parts of the path is */

/* What each worker did, in the order of time: nodes by number, gaps as -1 - number. */
function decodeRow(timings, gaps, nodes, gapsHere) {
  const items = [...nodes, ...Array.from(gapsHere, (gap) => -1 - gap)];
  const beginOf = (item) => (item >= 0 ? timings.startNs[item] : gaps.beginNs[-1 - item]);
  items.sort((a, b) => beginOf(a) - beginOf(b));
  return {
    items: Int32Array.from(items),
    beginNs: Float64Array.from(items, beginOf),
    endNs: Float64Array.from(items, (item) => (item >= 0 ? timings.endNs[item] : gaps.endNs[-1 - item])),
  };
}

/* A measured run. */
function decodeRun(json, texts) {
  const workers = decodeGroup(json.workers), timings = decodeGroup(json.timings), gaps = decodeGroup(json.gaps);
  const count = workers.device.length;
  const nodesOf = indexBy(timings.worker, count), gapsOf = indexBy(gaps.worker, count);
  return {
    command: texts[json.command], model: texts[json.model], summary: texts[json.summary], number: json.number,
    wallNs: json.wallNs, workers, timings, gaps, path: decodeGroup(json.path), loads: decodeGroup(json.loads),
    rows: Array.from({ length: count }, (_, w) => decodeRow(timings, gaps, itemsOf(nodesOf, w), itemsOf(gapsOf, w))),
  };
}

const RUN_HELP = [
  ['idle', 'on the timeline: a worker idle, as nothing was ready, or what was ready was queued elsewhere; select it to see why'],
  ['runtime', 'what it ran next was ready, and not begun yet, by the runtime or the system'],
  ['ready', 'above: how many tasks were ready'],
];

class RunDetails {
  constructor(details, viewer) {
    Object.assign(this, { details, viewer, data: viewer.data, run: viewer.data.run });
    byId('help-columns').append(make('dl', {}, ...RUN_HELP.flatMap(([name, words]) =>
      [make('dt', {}, make('span', { class: `swatch ${name}` })), make('dd', {}, words)]), make('dt', {}, 'measured path'),
    make('dd', {}, 'back from what ended last: before each node what held it up, a result or what its worker ran before')));
  }

  /* ---- the whole ---- */

  ofAll() {
    const { run, details } = this, { workers } = run;
    return [
      details.section('What bounds this run', make('p', {}, run.summary)),
      details.table('Where the time went', ['worker', 'kernels', 'idle', 'runtime'], Array.from(workers.device, (device, w) =>
        [`${w} ${details.text(device)}`, ...[workers.taskNs[w], workers.idleNs[w], workers.runtimeNs[w]].map((ns) => share(ns, run.wallNs))])),
      this.#scopes(),
    ];
  }

  /* What all of each outermost scope took, longest first. */
  #scopes() {
    const { viewer, details } = this, { outline: o } = this.data, scopes = [];
    for (let box = 1; box < o.count; box = o.kind[box] === Kind.SCOPE ? o.end[box] : box + 1)
      if (o.kind[box] === Kind.SCOPE)
        scopes.push({ box, ns: viewer.timeOf(box) });
    const link = (box) => make('button', { type: 'button', class: 'link', onclick: () => viewer.go(box) },
      `${viewer.fullName(box)} ${viewer.className(box)}`);
    const title = scopes.length > MOST_SCOPES ? `The longest of ${scopes.length.toLocaleString('en')} scopes, measured` : 'Scopes, measured';
    return details.table(title, ['scope', 'time', 'of all kernels'], scopes.sort((a, b) => b.ns - a.ns || a.box - b.box)
      .slice(0, MOST_SCOPES).map(({ box, ns }) => [link(box), duration(ns), share(ns, viewer.timeOf(0))]));
  }

  gaps() {
    const { gaps } = this.run, length = (gap) => gaps.endNs[gap] - gaps.beginNs[gap];
    const longest = Array.from(gaps.worker.keys()).sort((a, b) => length(b) - length(a) || a - b).slice(0, 200);
    return this.details.list('Longest gaps', longest.map((gap) => () => make('button', { type: 'button', class: 'link',
      onclick: () => this.viewer.selectGap(gap) },
    `${duration(length(gap))} on worker ${gaps.worker[gap]}: ${gapWords(this.data, gap)}`)), '', FEW);
  }

  /* When and where a node ran. */
  timing(node) {
    const { nodes } = this.data, { timings } = this.run, took = timings.endNs[node] - timings.startNs[node];
    const rate = took > 0 ? `, ${quantity(nodes.flops[node] / took * 1e9, 'FLOP/s')}, ${quantity(nodes.bytes[node] / took * 1e9, 'B/s')}` : '';
    return [
      ['ran', `${duration(took)}${rate}`],
      ['where', `worker ${timings.worker[node]}, task ${timings.task[node]}`],
      ['when', `${instant(timings.startNs[node])} to ${instant(timings.endNs[node])}`],
      ['ready', `${instant(timings.readyNs[node])}, submitted ${instant(timings.submitNs[node])}`],
    ];
  }

  /* ---- a gap ---- */

  ofGap(gap) {
    const { data, details } = this, { gaps } = this.run, node = gaps.node[gap], wait = gaps.wait[gap];
    const kind = isRuntime(gaps.cause[gap]) ? 'runtime' : 'idle';
    return [
      make('header', {}, make('h2', {}, `Worker ${gaps.worker[gap]}: ${kind}`), make('p', {}, gapWords(data, gap))),
      details.facts('Gap', ['length', duration(gaps.endNs[gap] - gaps.beginNs[gap])],
        ['when', `${instant(gaps.beginNs[gap])} to ${instant(gaps.endNs[gap])}`]),
      details.list('Waits for', wait < 0 ? [] : [() => details.wait(wait, data.waits.from[wait])]),
      wait < 0 ? null : details.facts('What it waits for', ...this.timing(data.waits.from[wait])),
      details.list([Gap.WAIT, Gap.SUBMIT].includes(gaps.cause[gap]) ? 'Then was ready' : 'Was ready', node < 0 ? [] : [() => details.linkToNode(node)]),
      node < 0 ? null : details.facts('When it ran', ...this.timing(node)),
      details.list('Ran meanwhile on other workers', this.#meanwhile(gap), '', FEW),
    ].filter(Boolean);
  }

  /* What overlaps a gap, longest first. */
  #meanwhile(gap) {
    const { gaps, rows } = this.run, begin = gaps.beginNs[gap], end = gaps.endNs[gap], all = [];
    rows.forEach((row, worker) => {
      for (let k = firstAbove(row.endNs, begin); k < row.items.length && row.beginNs[k] < end; k++)
        if (worker !== gaps.worker[gap] && row.items[k] >= 0)
          all.push({ node: row.items[k], worker, ns: Math.min(end, row.endNs[k]) - Math.max(begin, row.beginNs[k]) });
    });
    return all.sort((a, b) => b.ns - a.ns || a.node - b.node).map(({ node, worker, ns }) => () =>
      make('div', {}, `${duration(ns)} on worker ${worker}: `, this.details.linkToNode(node)));
  }

  /* ---- the measured critical path ---- */

  /* Steps that follow each other on one worker and in one scope; short turns that follow each other are one. */
  turns() {
    const { path, timings } = this.run, { nodes, outline: o, boxOf } = this.data, turns = [], whole = { kernels: 0, between: 0 };
    let key;
    path.node.forEach((node, k) => {
      const began = k > 0 ? timings.endNs[path.node[k - 1]] : 0, box = boxOf[node];
      const next = [timings.worker[node], nodes.scope[node], o.class[box]].join();
      if (next !== key)
        turns.push({ count: 1, first: k, nodes: [], kernels: 0, between: 0 });
      key = next;
      const turn = turns[turns.length - 1];
      turn.nodes.push(node);
      for (const sum of [turn, whole]) {
        sum.kernels += nodeTime(this.data, node);
        sum.between += timings.startNs[node] - began;
      }
    });
    const isShort = (turn) => (turn.kernels + turn.between) * SHORT < whole.kernels + whole.between, joined = [];
    for (const turn of turns) {
      const last = joined[joined.length - 1];
      if (!last || !isShort(turn) || !last.isShort) {
        joined.push({ ...turn, isShort: isShort(turn) });
        continue;
      }
      last.nodes.push(...turn.nodes);
      for (const what of ['count', 'kernels', 'between'])
        last[what] += turn[what];
    }
    return { ...whole, turns: joined };
  }

  ofPath() {
    const { details, data } = this, { turns, kernels, between } = this.turns();
    const longest = turns.reduce((most, turn) => Math.max(most, turn.kernels + turn.between), 0);
    const nodes = [...this.run.path.node].sort((a, b) => nodeTime(data, b) - nodeTime(data, a));
    return [
      details.section(this.viewer.markWords(), make('p', {}, `${duration(kernels + between)}: ${duration(kernels)} in kernels, ${duration(between)} before and between them.`)),
      details.list('Its longest nodes', this.#steps(nodes), '', FEW),
      details.list('Its turns of scopes and workers, in the order of time', turns.map((turn) => () => this.#turn(turn, longest, kernels + between))),
    ];
  }

  #steps(nodes) {
    return nodes.map((node) => () => make('div', {}, `${duration(nodeTime(this.data, node))} `, this.details.linkToNode(node)));
  }

  /* One turn, with why it began no sooner, and its nodes, longest first. */
  #turn(turn, longest, all) {
    const { data, details, viewer } = this, wait = this.run.path.wait[turn.first], node = turn.nodes[0], box = data.boxOf[node];
    const nodes = [...turn.nodes].sort((a, b) => nodeTime(data, b) - nodeTime(data, a)), inside = make('div', {});
    const isLongest = turn.kernels + turn.between === longest;
    const where = turn.count > 1 ? `${turn.count} short turns` : [details.text(data.nodes.scope[node]) || 'no scope',
      viewer.className(box), `worker ${this.run.timings.worker[node]}`].join(', ');
    const why = wait >= 0 ? `${details.text(data.nodes.name[node])} ${waitWords(data, wait)}`
      : turn.first === 0 ? 'the first' : 'its worker was busy';
    return make('details', { ontoggle: () => inside.firstChild || inside.append(details.folding(this.#steps(nodes))) },
      make('summary', {}, make(isLongest ? 'b' : 'span', {}, `${where}${isLongest ? ', the longest' : ''}: ` +
        `${duration(turn.kernels + turn.between)} (${share(turn.kernels + turn.between, all)}), ${duration(turn.kernels)} in kernels, ${plural(nodes.length, 'node')}`),
      turn.count > 1 ? null : make('div', { class: 'shape' }, why)), inside);
  }
}
