'use strict';

/* Search in names, ops, parts and shapes, whatever is folded. All words must be there; * and ? stand for any
 * characters; "op:gelu" is of the op alone. */

const RESULTS = 60;

function pattern(word) {
  const escaped = word.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*').replace(/\?/g, '.');
  return new RegExp(escaped, 'i');
}

/* A test of one word: plain words are looked for as they are, which is faster. */
function matcher(word) {
  const [, field, rest] = /^(op:|part:|scope:)?(.*)$/.exec(word);
  const test = /[*?]/.test(rest) ? ((expression) => (text) => expression.test(text))(pattern(rest))
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
          'part:': '', 'scope:': text(o.scope[b]) });
        continue;
      }
      const { nodes } = data;
      const name = text(nodes.name[node]);
      this.fields.push({ box: b, name, all: `${name} ${text(nodes.op[node])} ${text(o.detail[b])}`,
        'op:': text(nodes.op[node]), 'part:': text(nodes.part[node]), 'scope:': text(nodes.scope[node]) });
    }
  }

  /* The boxes that fit, in order; first those of which a word is all of a field. */
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
    input.addEventListener('blur', () => setTimeout(() => this.#close(), 150));
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
      painter.found[viewer.shownOf(box)] = 1;
    painter.request();
  }

  #fill() {
    const { viewer } = this, shown = this.results.slice(0, RESULTS);
    this.list.replaceChildren(...shown.map((box, k) => {
      const name = viewer.className(box);
      return make('li', { role: 'option', id: `result-${k}`, 'aria-selected': String(k === this.at),
        onmousedown: (event) => { event.preventDefault(); this.#choose(k); } },
      make('span', { class: `sign ${name}` }, CLASS_SIGNS[name]), make('span', { class: 'name' }, this.#label(box)),
      make('span', { class: 'detail' }, viewer.detail(box)));
    }));
    const words = this.input.value.trim(), more = this.results.length > RESULTS ? `, the first ${RESULTS} here` : '';
    this.list.hidden = shown.length === 0;
    this.status.textContent = words === '' ? '' : `${this.results.length.toLocaleString('en')} found${more}`;
    this.input.setAttribute('aria-expanded', String(shown.length > 0));
    this.#follow();
  }

  #label(box) {
    const { viewer } = this, { data, outline: o } = viewer;
    return o.kind[box] === Kind.NODE ? data.texts[data.nodes.name[o.item[box]]] : data.texts[o.scope[box]] || viewer.name(box);
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
    this.viewer.go(this.results[k]);
    byId('canvas').focus();
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
      this.input.value = '';
      this.#look();
      this.#close();
      byId('canvas').focus();
    }
    event.stopPropagation();
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute('aria-expanded', 'false');
  }
}
