'use strict';

/* Search in names, ops, parts and shapes, whatever is folded, and in names of values that nodes don't share. All words must
 * be there; * and ? stand for any characters; "op:gelu" is of the op alone, "op=gelu" all of it. */

const RESULTS = 60;

function pattern(word) {
  const escaped = word.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*').replace(/\?/g, '.');
  return new RegExp(escaped, 'i');
}

/* A test of one word: plain words are looked for as they are, which is faster. */
function matcher(word) {
  const [, name, sign, rest] = /^(?:(op|part|scope|value)([:=]))?(.*)$/.exec(word), field = name && `${name}:`;
  const test = sign === '=' ? (text) => text === rest : /[*?]/.test(rest) ? ((expression) => (text) => expression.test(text))(pattern(rest))
    : (text) => text.includes(rest);
  return { field: field || 'all', test, rest };
}

class Search {
  constructor(viewer) {
    const { data } = viewer, o = data.outline, text = (number) => data.texts[number].toLowerCase();
    this.viewer = viewer;
    this.fields = [];
    for (let b = 1; b < o.count; b++) {
      const node = o.kind[b] === Kind.NODE ? o.item[b] : -1;
      if (node < 0) {
        this.fields.push({ box: b, name: text(o.scope[b]), all: `${text(o.scope[b])} ${text(o.name[b])}`, 'op:': '',
          'part:': '', 'scope:': text(o.scope[b]), 'value:': '' });
        continue;
      }
      const { nodes } = data;
      const name = text(nodes.name[node]);
      this.fields.push({ box: b, name, all: `${name} ${text(nodes.op[node])} ${text(o.detail[b])}`,
        'op:': text(nodes.op[node]), 'part:': text(nodes.part[node]), 'scope:': text(nodes.scope[node]), 'value:': name });
    }
    for (const value of this.#values()) {
      const name = viewer.valueName(value).toLowerCase();
      this.fields.push({ box: -1 - value, name, all: name, 'op:': '', 'part:': '', 'scope:': '', 'value:': name });
    }
  }

  /* Parameters and states, the first of the parts of each, and results that aren't called as their node is. */
  #values() {
    const { viewer } = this, { values, nodes } = viewer.data;
    return [...values.name.keys()].filter((value) => (values.producer[value] >= 0 ? values.name[value] !== nodes.name[values.producer[value]]
      : viewer.inputBoxOf(value) === 0 && viewer.valuesLike(value)[0] === value));
  }

  /* The boxes, and -1 - number of the values, that fit, in order; first those of which a word is all of a field. */
  find(words) {
    const tests = words.toLowerCase().split(/\s+/).filter(Boolean).map(matcher);
    if (tests.length === 0)
      return [];
    const fits = this.fields.filter((entry) => tests.every(({ field, test }) => test(entry[field])));
    const isWhole = (entry) => tests.some(({ field, rest }) => rest !== '' && (field === 'all' ? entry.name : entry[field]) === rest);
    return [...fits.filter(isWhole), ...fits.filter((entry) => !isWhole(entry))].map(({ box }) => box);
  }
}

/* The field and its list of results: a combobox. */
class SearchBox {
  constructor(input, list, status, viewer, painter) {
    Object.assign(this, { input, list, status, viewer, painter });
    this.results = [];
    this.at = -1;
    input.addEventListener('input', () => this.#look());
    input.addEventListener('focus', () => this.#look());
    input.addEventListener('keydown', (event) => this.#press(event));
    input.addEventListener('blur', () => setTimeout(() => document.activeElement === input || this.#close(), 150));
    viewer.onChange((what) => {
      if (what === 'layout')
        this.#show();
    });
  }

  #look() {
    this.search = this.search || new Search(this.viewer);
    this.results = this.search.find(this.input.value);
    this.at = this.results.length > 0 ? 0 : -1;
    this.#fill();
    this.#show();
  }

  /* Ring what is found, or what it is folded in. */
  #show() {
    const { viewer, painter } = this;
    painter.found = this.results.length > 0 ? new Uint8Array(viewer.outline.count) : null;
    for (const box of this.results)
      if (box >= 0)
        painter.found[viewer.shownOf(box)] = 1;
    painter.request();
  }

  #fill() {
    const { viewer } = this, shown = this.results.slice(0, RESULTS);
    this.list.replaceChildren(...shown.map((box, k) => {
      const name = box < 0 ? 'input' : viewer.className(box), words = this.#label(box);
      return make('li', { role: 'option', id: `result-${k}`, 'aria-selected': String(k === this.at),
        onmousedown: (event) => { event.preventDefault(); this.#choose(k); } },
      make('span', { class: `sign ${name}` }, box < 0 ? '■' : CLASS_SIGNS[name]), makeLabel(...words));
    }));
    if (this.results.length > RESULTS)
      this.list.append(make('li', { role: 'option', 'aria-disabled': 'true' }, `these are the first ${RESULTS}`));
    this.list.hidden = shown.length === 0;
    this.status.textContent = this.input.value.trim() === '' ? '' : `${this.results.length.toLocaleString('en')} found`;
    this.input.setAttribute('aria-expanded', String(shown.length > 0));
    this.#follow();
  }

  #label(box) {
    const { viewer } = this, { values, texts } = viewer.data;
    return box >= 0 ? [viewer.fullName(box), viewer.detail(box)]
      : [viewer.valueName(-1 - box), `${VALUE_KINDS[values.kind[-1 - box]]}, ${texts[values.shape[-1 - box]]}`];
  }

  /* Look for some words as if they had been typed. */
  ask(words) {
    this.input.value = words;
    this.input.focus();
    this.#look();
  }

  /* Whether there was something to give up. */
  clear() {
    if (this.input.value === '')
      return false;
    this.input.value = '';
    this.#look();
    return true;
  }

  #follow() {
    [...this.list.children].forEach((option, k) => option.setAttribute('aria-selected', String(k === this.at)));
    const option = this.list.children[this.at];
    if (option) {
      this.input.setAttribute('aria-activedescendant', option.id);
      option.scrollIntoView({ block: 'nearest' });
    } else {
      this.input.removeAttribute('aria-activedescendant');
    }
  }

  #choose(k) {
    if (k < 0 || k >= this.results.length)
      return;
    const box = this.results[k];
    if (box < 0)
      this.viewer.selectValue(-1 - box);
    else
      this.viewer.go(box);
    byId('canvas').focus();
    this.#close();
  }

  #press(event) {
    const last = Math.min(this.results.length, RESULTS) - 1;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      this.at = Math.max(0, Math.min(last, this.at + (event.key === 'ArrowDown' ? 1 : -1)));
      event.preventDefault();
      this.#follow();
    } else if (event.key === 'Enter') {
      this.#choose(this.at);
    } else if (event.key === 'Escape') {
      this.clear();
      byId('canvas').focus();
    }
    event.stopPropagation();
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute('aria-expanded', 'false');
  }
}
