'use strict';

/* The tree of boxes as elements, for keyboards and screen readers: rows for what is in view alone, focus on one. */

const ROW_HEIGHT = 26, ROWS_BEYOND = 8;
const CLASS_SIGNS = { forward: '▼', backward: '▲', optimizer: '◆', input: '●' };

class Tree {
  constructor(element, viewer) {
    this.element = element;
    this.viewer = viewer;
    this.list = make('div', { class: 'rows', role: 'presentation' });
    this.rows = new Map(); /* box -> element */
    this.element.append(this.list);
    this.element.addEventListener('scroll', () => this.#fill());
    this.element.addEventListener('keydown', (event) => this.#press(event));
    this.element.addEventListener('focusin', (event) => this.#focused(event));
    this.update = oncePerFrame(() => this.#update());
    viewer.onChange((what) => this.#change(what));
    new ResizeObserver(() => this.#fill()).observe(element);
    this.#refill();
    this.#fill();
  }

  /* The row that has the focus, or gets it. */
  get current() {
    return this.viewer.selected > 0 ? this.viewer.selected : this.viewer.rows[0];
  }

  focus() {
    this.#update();
    this.#focusRow();
  }

  #focusRow() {
    const row = this.rows.get(this.current);
    if (row)
      row.focus({ preventScroll: true });
  }

  /* Rows are made anew once a frame: measuring and changing elements in turns takes long. */
  #change(what) {
    this.stale = this.stale || what === 'layout' || what === 'marks';
    this.update();
  }

  #update() {
    const hadFocus = this.element.contains(document.activeElement);
    if (this.stale)
      this.#refill();
    this.#scrollTo(this.current);
    if (hadFocus)
      this.#focusRow();
  }

  #refill() {
    for (const row of this.rows.values())
      row.remove();
    this.rows.clear();
    this.stale = false;
    this.list.style.height = `${this.viewer.rows.length * ROW_HEIGHT}px`;
  }

  /* Have rows for what is in view, and for the one with the focus. */
  #fill() {
    const { viewer, element } = this;
    const first = Math.max(0, Math.floor(element.scrollTop / ROW_HEIGHT) - ROWS_BEYOND);
    const last = Math.min(viewer.rows.length, Math.ceil((element.scrollTop + element.clientHeight) / ROW_HEIGHT) + ROWS_BEYOND);
    const wanted = new Set(viewer.rows.subarray(first, last));
    if (this.current)
      wanted.add(this.current);
    for (const [box, row] of this.rows)
      if (!wanted.has(box) && row !== document.activeElement) {
        row.remove();
        this.rows.delete(box);
      }
    for (const box of [...wanted].sort((a, b) => a - b))
      this.#put(box);
  }

  #put(box) {
    let row = this.rows.get(box);
    if (!row) {
      row = this.#makeRow(box);
      this.rows.set(box, row);
      this.list.append(row);
    }
    row.tabIndex = box === this.current ? 0 : -1;
    row.setAttribute('aria-selected', String(box === this.viewer.selected));
  }

  #makeRow(box) {
    const { viewer } = this, o = viewer.outline, folds = viewer.canOpen(box), name = viewer.className(box);
    const row = make('div', {
      role: 'treeitem', class: viewer.isMarked(box) ? 'row marked' : viewer.isPale(box) ? 'row pale' : 'row', 'data-box': box,
      'aria-level': o.depth[box], 'aria-setsize': o.members[o.parent[box]], 'aria-posinset': o.place[box],
      'aria-expanded': folds ? String(viewer.isOpen(box)) : null,
      title: `${viewer.fullName(box)}: ${viewer.detail(box)}`, 'aria-label': `${viewer.name(box)}, ${name}, ${viewer.detail(box)}`,
    },
    make('span', { class: folds ? 'twisty' : 'twisty none' }),
    make('span', { class: `sign ${name}` }, CLASS_SIGNS[name]),
    makeLabel(viewer.localName(box), viewer.detail(box)));
    row.style.top = `${viewer.rowOf[box] * ROW_HEIGHT}px`;
    row.style.paddingInlineStart = `${8 + 14 * Math.min(o.depth[box] - 1, 12)}px`;
    row.addEventListener('click', (event) => this.#click(box, event));
    row.addEventListener('dblclick', () => viewer.toggle(box));
    return row;
  }

  #click(box, event) {
    if (event.target.classList.contains('twisty'))
      this.viewer.toggle(box);
    this.viewer.go(box);
    this.focus();
  }

  #focused(event) {
    const row = event.target.closest('[data-box]');
    if (row)
      this.viewer.select(Number(row.dataset.box));
  }

  #scrollTo(box) {
    const top = this.viewer.rowOf[box] * ROW_HEIGHT, { scrollTop, clientHeight } = this.element;
    if (top < scrollTop)
      this.element.scrollTop = top;
    else if (top + ROW_HEIGHT > scrollTop + clientHeight)
      this.element.scrollTop = top + ROW_HEIGHT - clientHeight;
    this.#fill();
  }

  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey)
      return;
    const { viewer } = this, box = this.current, row = viewer.rowOf[box];
    const to = {
      ArrowDown: () => viewer.rows[Math.min(row + 1, viewer.rows.length - 1)],
      ArrowUp: () => viewer.rows[Math.max(row - 1, 0)],
      Home: () => viewer.rows[0],
      End: () => viewer.rows[viewer.rows.length - 1],
      ArrowRight: () => this.#inward(box),
      ArrowLeft: () => this.#outward(box),
    }[event.key];
    if (to) {
      const next = to();
      event.preventDefault();
      event.stopPropagation();
      viewer.go(next);
      this.focus();
    }
  }

  #inward(box) {
    if (!this.viewer.canOpen(box))
      return box;
    if (this.viewer.isOpen(box))
      return box + 1;
    this.viewer.toggle(box);
    return box;
  }

  #outward(box) {
    if (this.viewer.canOpen(box) && this.viewer.isOpen(box)) {
      this.viewer.toggle(box);
      return box;
    }
    return this.viewer.outline.parent[box] || box;
  }
}
