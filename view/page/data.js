'use strict';

/* The data as view/page-data.c writes it: columns become typed arrays, and what is found by way of another list is
 * indexed. */

const Kind = { GRAPH: 0, NODE: 1, INPUT: 2, SCOPE: 3, PARTS: 4, REPEAT: 5, REST: 6, RUN: 7 };
const CLASSES = ['forward', 'backward', 'optimizer'];
const EDGE_KINDS = ['RAW', 'WAR', 'WAW', 'after', 'reuse'];
const VALUE_KINDS = ['input', 'parameter', 'state', 'intermediate', 'copy'];

/* A column is a list of differences. */
function decodeColumn(differences) {
  const values = new Float64Array(differences.length);
  let value = 0;
  for (let i = 0; i < differences.length; i++) {
    value += differences[i];
    values[i] = value;
  }
  return values;
}

/* Columns that may hold what 32 bits don't. */
const isWide = (name) => name === 'flops' || name === 'bytes' || name.endsWith('Ns');

function decodeGroup(group) {
  const columns = {};
  for (const [name, differences] of Object.entries(group)) {
    const values = decodeColumn(differences);
    columns[name] = isWide(name) ? values : Int32Array.from(values);
  }
  return columns;
}

/* Sort 0 to keys.length - 1 by key, 0 to count - 1, those of one key in their order: of key k they are
 * items[begin[k]] to items[begin[k + 1] - 1]. Keys below 0 are left out. */
function indexBy(keys, count) {
  const begin = new Int32Array(count + 1);
  for (const key of keys)
    if (key >= 0)
      begin[key + 1]++;
  for (let k = 0; k < count; k++)
    begin[k + 1] += begin[k];
  const next = begin.slice(), items = new Int32Array(begin[count]);
  for (let i = 0; i < keys.length; i++)
    if (keys[i] >= 0)
      items[next[keys[i]]++] = i;
  return { begin, items };
}

/* The items of one key. */
function itemsOf(index, key) {
  return index.items.subarray(index.begin[key], index.begin[key + 1]);
}

/* Boxes know what they are in, as which of it, how many boxes and nodes are in them, and their wires. */
function decodeOutline(json) {
  const boxes = decodeGroup(json.boxes), wires = decodeGroup(json.wires);
  const count = boxes.end.length, parent = new Int32Array(count).fill(-1);
  const members = new Int32Array(count), place = new Int32Array(count), nodes = new Int32Array(count);
  const depth = new Int32Array(count), scopes = new Int32Array(count); /* boxes, and scopes, that it stands in */
  for (let b = 0; b < count; b++)
    for (let c = b + 1; c < boxes.end[b]; c = boxes.end[c]) {
      parent[c] = b;
      depth[c] = depth[b] + 1;
      scopes[c] = scopes[b] + (boxes.kind[b] === Kind.SCOPE ? 1 : 0);
      place[c] = ++members[b];
    }
  let most = 0;
  for (let b = count - 1; b >= 0; b--) {
    most = Math.max(most, members[b]);
    nodes[b] += boxes.kind[b] === Kind.NODE ? 1 : 0;
    if (b > 0)
      nodes[parent[b]] += nodes[b];
  }
  const wiresIn = indexBy(wires.to, count), wiresOut = indexBy(wires.from, count + wires.from.length);
  for (let i = 0; i < wires.to.length; i++)
    wiresIn.items[wiresIn.begin[wires.to[i]] + wires.slot[i]] = i;
  const folding = Int32Array.from(members.keys()).filter((b) => b > 0 && members[b] > 0);
  return { ...boxes, parent, members, most, place, nodes, depth, scopes, folding, count, wires, nWires: wires.to.length,
    wiresIn, wiresOut };
}

function decodeData(json) {
  const outline = decodeOutline(json);
  const nodes = decodeGroup(json.nodes), values = decodeGroup(json.values);
  const reads = decodeGroup(json.reads), waits = decodeGroup(json.waits);
  const nNodes = nodes.op.length, nValues = values.name.length;
  const boxOf = new Int32Array(nNodes);
  for (let b = 0; b < outline.count; b++)
    if (outline.kind[b] === Kind.NODE)
      boxOf[outline.item[b]] = b;
  return {
    texts: json.texts, splits: json.texts[json.splits], workNs: json.workNs, criticalNs: json.criticalNs,
    criticalPath: Int32Array.from(decodeColumn(json.criticalPath)),
    outline, nodes, values, reads, waits, nNodes, nValues, boxOf,
    readsOf: indexBy(reads.node, nNodes), readersOf: indexBy(reads.value, nValues),
    resultsOf: indexBy(values.producer, nNodes),
    waitsOf: indexBy(waits.node, nNodes), waitersOf: indexBy(waits.from, nNodes),
    run: json.run ? decodeRun(json.run, json.texts) : null, compare: json.compare ? decodeComparison(json.compare) : null,
  };
}
