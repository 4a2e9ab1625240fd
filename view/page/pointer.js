'use strict';

/* The mouse, the pen and fingers on the canvas: drag to pan, pinch or Ctrl and the wheel to zoom, click to select,
 * twice to open or close. */

const CLICK_REACH = 4; /* pixels that a click may move */

class Pointer {
  constructor(canvas, viewer, camera, painter, moved) {
    Object.assign(this, { canvas, viewer, camera, painter, moved });
    this.down = new Map(); /* pointer -> where it is */
    this.travel = 0;
    canvas.addEventListener('pointerdown', (event) => this.#press(event));
    canvas.addEventListener('pointermove', (event) => this.#drag(event));
    canvas.addEventListener('pointerup', (event) => this.#release(event, true));
    canvas.addEventListener('pointercancel', (event) => this.#release(event, false));
    canvas.addEventListener('dblclick', (event) => viewer.toggle(this.#boxAt(event)));
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
  }

  #boxAt(event) {
    return this.painter.boxAt(event.offsetX, event.offsetY);
  }

  #press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.travel = this.down.size > 1 ? Infinity : 0;
  }

  #drag(event) {
    const before = this.down.get(event.pointerId);
    if (!before) {
      this.canvas.style.cursor = this.#boxAt(event) > 0 ? 'pointer' : '';
      return;
    }
    const [dx, dy] = [event.offsetX - before[0], event.offsetY - before[1]];
    const others = [...this.down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.down.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.travel += Math.abs(dx) + Math.abs(dy);
    if (others.length === 0)
      this.camera.pan(dx, dy);
    else
      this.#pinch(before, [event.offsetX, event.offsetY], others[0]);
    this.moved();
  }

  #pinch(before, now, other) {
    const distance = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
    this.camera.zoom(distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  #release(event, isClick) {
    this.down.delete(event.pointerId);
    if (isClick && this.travel <= CLICK_REACH)
      this.viewer.select(this.#boxAt(event));
  }

  #wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.ctrlKey || event.metaKey)
      this.camera.zoom(Math.exp(-event.deltaY * unit / 300), event.offsetX, event.offsetY);
    else if (event.shiftKey && event.deltaX === 0)
      this.camera.pan(-event.deltaY * unit, 0);
    else
      this.camera.pan(-event.deltaX * unit, -event.deltaY * unit);
    this.moved();
  }
}
