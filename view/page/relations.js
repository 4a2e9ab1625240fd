'use strict';

/* What nodes have to do with each other by the values that they make and read. Sets are a byte per node. */

/* All that is met from some nodes on, they included: `next(node)` calls back with each neighbour. */
function closure(count, from, next) {
  const met = new Uint8Array(count), todo = [...from];
  for (const node of todo)
    met[node] = 1;
  while (todo.length > 0)
    next(todo.pop(), (other) => {
      if (!met[other]) {
        met[other] = 1;
        todo.push(other);
      }
    });
  return met;
}

/* Data alone counts, not the memory that a run or a plan uses again: the same with a run and without. */
function ancestors(data, nodes) {
  return closure(data.nNodes, nodes, (node, meet) => {
    for (const read of itemsOf(data.readsOf, node)) {
      const maker = data.values.producer[data.reads.value[read]];
      if (maker >= 0)
        meet(maker);
    }
  });
}

function descendants(data, nodes) {
  return closure(data.nNodes, nodes, (node, meet) => {
    for (const value of itemsOf(data.resultsOf, node))
      for (const read of itemsOf(data.readersOf, value))
        meet(data.reads.node[read]);
  });
}

/* All nodes on paths from some nodes to others, whichever way they lead. */
function between(data, some, others) {
  const join = (from, to) => {
    const after = descendants(data, from), before = ancestors(data, to);
    return after.map((is, node) => is & before[node]);
  };
  const onward = join(some, others);
  return onward.includes(1) ? onward : join(others, some);
}

function setOf(data, nodes) {
  const set = new Uint8Array(data.nNodes);
  for (const node of nodes)
    set[node] = 1;
  return set;
}

/* The nodes in a box. */
function nodesIn(outline, box) {
  const nodes = [];
  for (let b = box; b < outline.end[box]; b++)
    if (outline.kind[b] === Kind.NODE)
      nodes.push(outline.item[b]);
  return nodes;
}

/* What a node took: measured, or, without a run, at nominal rates. */
function nodeTime(data, node) {
  return data.run ? data.run.timings.endNs[node] - data.run.timings.startNs[node] : data.nodes.costNs[node];
}

/* What the nodes of all boxes before each took. */
function sumInBoxes(data, timeOf = (node) => nodeTime(data, node)) {
  const o = data.outline, sums = new Float64Array(o.count + 1);
  for (let b = 0; b < o.count; b++)
    sums[b + 1] = sums[b] + (o.kind[b] === Kind.NODE ? timeOf(o.item[b]) : 0);
  return sums;
}

/* How many nodes of a set each box holds, told in no time: counts[end] - counts[box]. */
function countInBoxes(data, set) {
  const o = data.outline, counts = new Int32Array(o.count + 1);
  for (let b = 0; b < o.count; b++)
    counts[b + 1] = counts[b] + (o.kind[b] === Kind.NODE ? set[o.item[b]] : 0);
  return counts;
}
