'use strict';

/* The parts of the page are put together. */

const data = decodeData(JSON.parse(byId('data').textContent));
const viewer = new Viewer(data), camera = new Camera(), canvas = byId('canvas');
const painter = new Painter(canvas, viewer, camera);
const commands = {
  moved() {
    painter.request();
    address.moved();
  },
  fit() {
    camera.fit(0, 0, viewer.layout.w[0], viewer.layout.h[0]);
    commands.moved();
  },
  center() {
    const l = viewer.layout, box = viewer.selected;
    camera.fit(l.x[box], l.y[box], l.w[box], l.h[box], 60);
    commands.moved();
  },
  reset() {
    searchBox.clear();
    viewer.select(0);
    viewer.setMark(null);
    viewer.setHeat(false);
    viewer.setOpen(viewer.atFirst.slice(), 0);
    camera.begin(viewer.layout.w[0], viewer.layout.h[0]);
    if (timeline)
      timeline.lookAtAll();
    commands.moved();
  },
  /* Give up what was looked for, else what is marked or selected. */
  clear() {
    if (!searchBox.clear())
      viewer.clear();
  },
  help() {
    byId('help').showModal();
    byId('help').scrollTop = 0;
  },
  say(words) {
    byId('said').textContent = words;
  },
};

/* A box stays where it is on the screen when others open. */
const places = { x: viewer.layout.x, y: viewer.layout.y };

function keepPlace(anchor) {
  camera.x += viewer.layout.x[anchor] - places.x[anchor];
  camera.y += viewer.layout.y[anchor] - places.y[anchor];
}

function describe() {
  const { mark, pathStart: start } = viewer;
  byId('status').textContent = start > 0 ? `paths from ${viewer.name(start)}: select where to, and press p`
    : mark ? viewer.markWords()
    : `${plural(viewer.boxes, 'box', 'boxes')} shown, ${plural(data.nNodes, 'node')} in all`;
  for (const what of ['critical', 'measured', 'changed'])
    byId(what).setAttribute('aria-pressed', String(mark !== null && mark.what === what));
  byId('heat').setAttribute('aria-pressed', String(viewer.heat));
  describeHeat();
}

/* What the colours of heat stand for. */
function describeHeat() {
  byId('legend').hidden = !viewer.heat;
  if (!viewer.heat)
    return;
  const [cool, hot] = viewer.heatRange, swatches = Array.from({ length: HEATS }, (_, shade) => {
    const swatch = make('span', { class: 'swatch hot' });
    swatch.style.opacity = heatAlpha(shade);
    return swatch;
  });
  byId('legend').replaceChildren(data.compare && viewer.comparison.hasRuns ? viewer.comparison.legend() : '', `≤ ${duration(cool)} `, ...swatches, ` ${duration(hot)}${data.run || data.compare ? '' : ', nominal'}`);
}

function show(box) {
  const l = viewer.layout;
  if (box > 0)
    camera.show(l.x[box], l.y[box], l.isOpen(box) ? Math.min(l.w[box], 300) : l.w[box],
      l.isOpen(box) ? HEADER : l.h[box]);
}

viewer.onChange((what, anchor) => {
  if (what === 'layout') {
    keepPlace(anchor);
    [places.x, places.y] = [viewer.layout.x, viewer.layout.y];
    commands.say(`${plural(viewer.boxes, 'box', 'boxes')} shown`);
  } else if (what === 'path' && viewer.pathStart > 0) {
    commands.say(`Paths from ${viewer.name(viewer.pathStart)}: select where to, and press p`);
  } else if (what === 'all' && viewer.selected === 0) {
    camera.begin(viewer.layout.w[0], viewer.layout.h[0]);
  } else if (what === 'arrival' || what === 'all') {
    show(viewer.value < 0 || viewer.mark.nodes.length === 0 ? viewer.selected : viewer.shownOf(data.boxOf[viewer.mark.nodes[0]]));
  } else if (what === 'selection' && viewer.value >= 0) {
    commands.say(viewer.valueName(viewer.value));
  } else if (what === 'selection' && viewer.selected > 0) {
    commands.say(`${viewer.name(viewer.selected)}, ${viewer.detail(viewer.selected)}`);
  }
  describe();
  painter.request();
});

const tree = new Tree(byId('tree'), viewer);
byId('measured').hidden = byId('run').hidden = !data.run;
byId('changed').hidden = !data.compare;
const timeline = data.run ? new Timeline(byId('timeline'), byId('moment'), viewer) : null;
const details = new Details(byId('details'), viewer);
painter.resize();
camera.begin(viewer.layout.w[0], viewer.layout.h[0]);
const address = new Address(viewer, camera, painter);
const searchBox = new SearchBox(byId('search'), byId('results'), byId('found'), viewer, painter);
details.find = (words) => searchBox.ask(words);
const keys = new Keys({ viewer, camera, tree, commands });
const pointer = new Pointer(canvas, viewer, camera, painter, commands.moved);

byId('title').textContent = data.compare ? `Comparison: ${viewer.comparison.words(0)}` : [data.run && [data.run.command, data.run.model].filter(Boolean).join(' '), viewer.detail(0),
  data.splits && `split ${data.splits}`, details.groups > 0 && `${plural(details.groups, 'group')} of workers`, data.run && duration(data.run.wallNs)].filter(Boolean).join(', ');
byId('fold').addEventListener('click', () => viewer.openAll(false));
byId('unfold').addEventListener('click', () => viewer.openAll(true));
byId('reset').addEventListener('click', commands.reset);
byId('critical').addEventListener('click', () => viewer.toggleMark('critical'));
byId('heat').addEventListener('click', () => viewer.setHeat(!viewer.heat));
byId('measured').addEventListener('click', () => viewer.toggleMark('measured'));
byId('changed').addEventListener('click', () => viewer.comparison.toggle(viewer));
byId('about').addEventListener('click', commands.help);
byId('close').addEventListener('click', () => byId('help').close());
new ResizeObserver(() => {
  painter.resize();
  painter.draw();
}).observe(canvas);
if (data.compare && data.compare.changedOnly && location.hash === '')
  viewer.comparison.toggle(viewer);
describe();
