'use strict';

/* Which part of the drawing is seen: its left upper corner and how much larger than drawn. */

const SMALLEST = 0.001, LARGEST = 4, LEAST_AT_FIRST = 0.8;

class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.width = 1;
    this.height = 1;
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
  }

  /* Let the place at (x, y) of the screen stay there. */
  zoom(factor, x, y) {
    const scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    this.x += x / this.scale - x / scale;
    this.y += y / this.scale - y / scale;
    this.scale = scale;
  }

  toWorld(x, y) {
    return [this.x + x / this.scale, this.y + y / this.scale];
  }

  /* See all of a rectangle, no larger than drawn. */
  fit(x, y, w, h, margin = 24) {
    const scale = Math.min((this.width - 2 * margin) / Math.max(w, 1), (this.height - 2 * margin) / Math.max(h, 1), 1);
    this.scale = Math.max(SMALLEST, scale);
    this.x = x + w / 2 - this.width / 2 / this.scale;
    this.y = y + h / 2 - this.height / 2 / this.scale;
  }

  /* See the top of a drawing, as wide as it is but no smaller than can be read. */
  begin(w, h) {
    this.fit(0, 0, w, h);
    if (this.scale >= LEAST_AT_FIRST)
      return;
    this.scale = Math.min(1, Math.max(LEAST_AT_FIRST, (this.width - 48) / Math.max(w, 1)));
    this.x = w * this.scale < this.width ? w / 2 - this.width / 2 / this.scale : -24 / this.scale;
    this.y = -24 / this.scale;
  }

  /* Move as little as needed for a rectangle to be seen, or to its middle if it is far away. */
  show(x, y, w, h) {
    const [left, top] = [(x - this.x) * this.scale, (y - this.y) * this.scale];
    const [right, bottom] = [left + w * this.scale, top + h * this.scale];
    const margin = 40;
    if (left >= margin && top >= margin && right <= this.width - margin && bottom <= this.height - margin)
      return;
    if (w * this.scale > this.width - 2 * margin || h * this.scale > this.height - 2 * margin)
      this.fit(x, y, w, h, margin);
    else
      [this.x, this.y] = [x + w / 2 - this.width / 2 / this.scale, y + h / 2 - this.height / 2 / this.scale];
  }
}
