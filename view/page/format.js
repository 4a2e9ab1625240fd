'use strict';

/* Numbers and elements for people. */

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'], TIME_UNITS = ['ns', 'µs', 'ms', 's'];

/* "1.23 GFLOP": three digits and a decimal prefix. */
function quantity(value, unit) {
  let k = 0;
  for (; k < 5 && value >= 999.5; k++)
    value /= 1000;
  const digits = k === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${PREFIXES[k]}${unit}`;
}

/* "12.3 µs" */
function duration(ns) {
  let k = 0;
  for (; k < 3 && ns >= 999.5; k++)
    ns /= 1000;
  return `${ns.toFixed(k === 0 || ns >= 99.95 ? 0 : ns >= 9.995 ? 1 : 2)} ${TIME_UNITS[k]}`;
}

/* When something is: to the microsecond, as runs take milliseconds. */
function instant(ns) {
  return `${(ns / 1e6).toFixed(3)} ms`;
}

function plural(count, word, words = `${word}s`) {
  return `${count.toLocaleString('en')} ${count === 1 ? word : words}`;
}

function share(part, whole) {
  return `${(100 * part / (whole || 1)).toFixed(1)} %`;
}

/* The items of each key, in the order of first keys. */
function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key))
      groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

/* An element: attributes by name, listeners as on..., text and elements inside. Text is text: nothing is parsed. */
function make(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (name.startsWith('on'))
      element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false)
      element.setAttribute(name, value === true ? '' : value);
  element.append(...inside.filter((part) => part !== null));
  return element;
}

/* A name and what else there is to tell. Where there is little room the name is cut in its middle, as its end tells which
 * part it is, and the rest is left out. */
function makeLabel(name, detail) {
  const bracket = name.lastIndexOf('['), at = name.length < 12 ? name.length : bracket > name.length - 28 ? bracket : name.length - 9;
  return make('span', { class: 'label' },
    make('span', { class: 'name' }, make('span', { class: 'head' }, name.slice(0, at)), make('span', { class: 'tail' }, name.slice(at))),
    make('span', { class: 'detail' }, detail));
}

/* A function that does something once before the next frame, however often it is asked to. */
function oncePerFrame(work) {
  let due = false;
  return () => {
    if (due)
      return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      work();
    });
  };
}

function byId(id) {
  return document.getElementById(id);
}
