'use strict';

/* Two graphs, or the runs of two, that are drawn as one: which nodes differ, and what they took on either side. */

const SIGNS = ['', '~', '−', '+'], SIGN_COLOURS = ['', 'changed', 'removed', 'added'];
const SIGN_WORDS = ['the same in both', 'changed', 'in the first alone', 'in the second alone'];
const RUN_WORDS = ['in both', 'in both, apart in time', 'in the first alone', 'in the second alone'];
const MOST_DIFFERENT = 200, MOST_LISTED = 40; /* those that differ most stand first */
const Sided = { SAME: 0, CHANGED: 1, FIRST: 2 };

function decodeComparison(json) {
  return { changedOnly: json.changedOnly !== 0, onlyA: json.onlyA, runsA: json.runsA, runsB: json.runsB,
    ...decodeGroup(json.nodes), sources: decodeGroup(json.sources), times: json.times.map(decodeColumn), caution: json.caution,
    lists: ['worker', 'scope', 'op'].map((of) => ({ of, names: decodeGroup(json[`${of}s`]).name, times: json[`${of}Times`].map(decodeColumn) })) };
}

/* What some took on average, and from the least to the most. */
function spreadOf(times) {
  const low = Math.min(...times), high = Math.max(...times);
  return { mean: times.reduce((sum, ns) => sum + ns, 0) / times.length, low, high, spread: high - low };
}

function difference(ns) {
  return `${ns < 0 ? '−' : '+'}${duration(Math.abs(ns))}`;
}

class Comparison {
  constructor(data) {
    const { compare, outline: o } = data;
    this.data = data;
    this.hasRuns = compare.times.length > 0;
    this.isSingle = compare.times.length === 2;
    this.counts = SIGNS.map((_, sign) => countInBoxes(data, compare.sign.map((other) => (other === sign ? 1 : 0))));
    this.before = compare.times.map((times) => sumInBoxes(data, (node) => times[node]));
    this.end = o.end;
  }

  /* How many nodes of a box have a sign. */
  count(box, sign) {
    return this.counts[sign][this.end[box]] - this.counts[sign][box];
  }

  /* What the nodes of a box have in common; changed, if some differ. */
  signOf(box) {
    const present = SIGNS.map((_, sign) => sign).filter((sign) => this.count(box, sign) > 0);
    return present.length === 1 ? present[0] : present.length === 0 ? Sided.SAME : Sided.CHANGED;
  }

  /* Whether it is best opened to see what differs: not where all parts of one node do, nor what differs as the scope
   * beside it. */
  opens(box) {
    const same = this.count(box, Sided.SAME), { kind, nodes } = this.data.outline;
    return same < nodes[box] && kind[box] !== Kind.REST && (same > 0 || kind[box] !== Kind.PARTS);
  }

  /* Nanoseconds of some boxes in the runs of either side. */
  sidesOf(boxes) {
    return this.sides(this.before.map((sums) => boxes.reduce((sum, box) => sum + sums[this.end[box]] - sums[box], 0)));
  }

  /* What was taken on either side, of times in each run. */
  sides(times) {
    const { runsA } = this.data.compare;
    return [spreadOf(times.slice(0, runsA)), spreadOf(times.slice(runsA))];
  }

  /* What the colours of heat mean beside the shades of what became slower. */
  legend() {
    return make('span', {}, make('span', { class: 'swatch faster' }), ' faster, slower ');
  }

  /* Open what holds what differs, close the rest, and mark what differs; or end that. */
  toggle(viewer) {
    viewer.toggleMark('changed');
    if (viewer.mark)
      viewer.setOpen(viewer.open.map((_, box) => (this.opens(box) ? 1 : 0)), 0);
  }

  differenceOf(box) {
    const [a, b] = this.sidesOf([box]);
    return b.mean - a.mean;
  }

  words(box) {
    const sign = this.data.outline.kind[box] === Kind.NODE ? this.data.compare.sign[this.data.outline.item[box]] : -1;
    if (sign >= 0)
      return sign === Sided.CHANGED && this.hasRuns ? 'no run of one side took as long as one of the other'
        : sign !== Sided.SAME || !this.hasRuns ? SIGN_WORDS[sign]
        : this.isSingle ? 'of one run each it is not known how far runs are apart' : 'the runs of both sides overlap';
    return (this.hasRuns ? RUN_WORDS : SIGN_WORDS).map((words, k) => [this.count(box, k), SIGNS[k], words]).filter(([count]) => count > 0)
      .map(([count, sign, what]) => `${sign} ${count.toLocaleString('en')} ${what}`.trim()).join(', ');
  }
}

/* What the details say of a comparison. */
class ComparisonDetails {
  constructor(details, viewer) {
    Object.assign(this, { details, viewer, data: viewer.data, comparison: viewer.comparison });
  }

  of(box) {
    const { data, details } = this, node = data.outline.kind[box] === Kind.NODE ? data.outline.item[box] : -1;
    const how = node >= 0 ? details.text(data.compare.change[node]) : '';
    const caution = box === 0 ? details.text(data.compare.caution) : '';
    return [
      details.section('Comparison', ...[this.comparison.words(box), caution].filter(Boolean).map((words) => make('p', {}, words)),
        how ? make('ul', {}, ...how.split('; ').map((part) => make('li', {}, part))) : null),
      ...(this.comparison.hasRuns ? [this.#times(box)] : []),
      ...(box === 0 ? this.#whole() : []),
    ];
  }

  #table(first, rows) {
    const head = [first, 'first', 'second', 'change'].map((word) => make('th', { scope: 'col' }, word));
    return make('table', {}, make('tr', {}, ...head), ...rows.map(([name, ...cells]) => make('tr', {},
      make('th', { scope: 'row' }, name), ...cells.map((cell) => make('td', {}, cell)))));
  }

  #times(box) {
    const [a, b] = this.comparison.sidesOf([box]), { runsA, runsB } = this.data.compare;
    return this.details.section('In kernels', this.#table('time', [
      ['average', duration(a.mean), duration(b.mean), difference(b.mean - a.mean)],
      ...(this.comparison.isSingle ? [] : [['spread', this.#spread(a, runsA), this.#spread(b, runsB), '']]),
    ]));
  }

  #spread(side, runs) {
    return runs > 1 ? duration(side.spread) : 'not known';
  }

  /* Of graphs what they begin with, of runs where time went; then what differs, of runs what differs most first. */
  #whole() {
    const { data, details, comparison } = this, { sources, sign, lists } = data.compare;
    if (!comparison.hasRuns) {
      const changed = (signs) => [...signs.keys()].filter((k) => signs[k] !== Sided.SAME);
      return [
        details.list('Begin with', changed(sources.sign).map((k) => () => make('div', {},
          `${SIGNS[sources.sign[k]]} `, make('b', {}, details.text(sources.name[k])), ` ${details.text(sources.text[k])}`))),
        details.list('What differs', changed(sign).map((node) => () => this.#line(node))),
      ];
    }
    const sizes = Float64Array.from(sign, (_, node) => Math.abs(comparison.differenceOf(data.boxOf[node])));
    const nodes = [...sign.keys()].filter((node) => sizes[node] > 0).sort((a, b) => sizes[b] - sizes[a] || a - b);
    return [
      ...lists.map((list) => details.section(`By ${list.of}${list.times.length > MOST_LISTED ? `, of ${list.times.length} those that differ most` : ''}`, this.#listed(list))),
      details.list('What differs most', nodes.slice(0, MOST_DIFFERENT).map((node) => () => this.#line(node))),
    ];
  }

  #listed({ of, names, times }) {
    return this.#table(of, times.slice(0, MOST_LISTED).map((ns, k) => {
      const [a, b] = this.comparison.sides(ns);
      return [this.details.text(names[k]), duration(a.mean), duration(b.mean), difference(b.mean - a.mean)];
    }));
  }

  #line(node) {
    const { data, details, comparison } = this, box = data.boxOf[node];
    const how = comparison.hasRuns ? difference(comparison.differenceOf(box)) : details.text(data.compare.change[node]);
    return make('div', { class: 'value' },
      make('span', {}, `${SIGNS[data.compare.sign[node]]} `, details.linkToNode(node)), how ? make('span', {}, how) : null);
  }
}
