/** The skeleton of every animal at the time of the cursor. */

import { getBytes } from "./api.js";
import { element } from "./panel.js";
import { colour } from "./theme.js";

const FRAMES = 1800;
const KEPT = 8;
const FAINT = 0.08;

export class Pose {
  /**
   * @param {object} app What all panels share.
   * @param {HTMLCanvasElement} canvas Where the skeletons are drawn.
   * @param {HTMLElement} key Where the animals are named.
   */
  constructor(app, canvas, key) {
    this.app = app;
    this.key = key;
    this.about = app.session.pose;
    this.panel = { canvas, plot: canvas.parentElement, ratio: 1, width: 0, height: 0 };
    this.length = FRAMES / this.about.rate_hz;
    this.chunks = new Map();
    this.coming = new Set();
    this.label();
  }

  label() {
    const animals = this.about.animals > 1 ? this.about.animals : 0;
    this.key.replaceChildren(...Array.from({ length: animals }, (_, i) => {
      const swatch = element("i", {});
      swatch.style.background = colour(i);
      return element("span", {}, swatch, `animal ${i + 1}`);
    }));
  }

  chunkAt(time) {
    const { start, end } = this.app.session.whole;
    return Math.max(0, Math.min(Math.floor((time - start) / this.length), Math.ceil((end - start) / this.length) - 1));
  }

  /** Fetch what the cursor needs, and what comes next when it moves. */
  want(time, playing) {
    const here = this.chunkAt(time);
    this.load(here);
    if (playing) this.load(here + 1);
  }

  async load(chunk) {
    const { id, whole } = this.app.session;
    const start = whole.start + chunk * this.length;
    const end = Math.min(start + this.length, whole.end);
    if (this.chunks.has(chunk) || this.coming.has(chunk) || start >= end) return;
    this.coming.add(chunk);
    try {
      const buffer = await getBytes("/api/pose", { id, start, end });
      const [, frames, points] = new Uint32Array(buffer, 0, 4);
      const [first, step] = new Float64Array(buffer, 16, 2);
      const values = new Float32Array(buffer, 32, frames * points * 3);
      this.chunks.set(chunk, { frames, points, first, step, values });
      if (this.chunks.size > KEPT) this.chunks.delete(this.chunks.keys().next().value);
      this.app.redraw();
    } catch (error) {
      this.app.failed(error);
    } finally {
      this.coming.delete(chunk);
    }
  }

  draw(context, time) {
    const chunk = this.chunks.get(this.chunkAt(time));
    if (!chunk) return;
    if (chunk.frames === 0) return this.drawNothing(context);
    // The frame that lasts at this time, as for labels; a step of the clock may round a hair off.
    const frame = Math.floor((time - chunk.first) / chunk.step + 0.01);
    const at = Math.min(Math.max(frame, 0), chunk.frames - 1) * chunk.points * 3;
    const points = chunk.values.subarray(at, at + chunk.points * 3);
    const place = this.scaling();
    const keypoints = this.about.keypoints.length;
    let nobody = true;
    for (let animal = 0; animal < this.about.animals; animal += 1) {
      const own = points.subarray(animal * keypoints * 3, (animal + 1) * keypoints * 3);
      this.drawAnimal(context, own, colour(animal), place);
      const lost = own.every((_, i) => !Number.isFinite(own[i - (i % 3)]));
      nobody &&= lost;
      this.key.children[animal]?.classList.toggle("lost", lost);
    }
    if (nobody) this.drawNothing(context);
  }

  drawNothing(context) {
    const { width, height } = this.panel;
    context.fillStyle = this.app.theme.soft;
    context.font = this.app.theme.font;
    context.textAlign = "center";
    context.fillText("no keypoint was found here", width / 2, height / 2);
  }

  /** From the camera's coordinates, y downwards, to the drawing's. */
  scaling() {
    const { width, height } = this.panel;
    const { low, high } = this.about;
    const room = 14;
    const scale = Math.min(
      (width - 2 * room) / (high[0] - low[0] || 1), (height - 2 * room) / (high[1] - low[1] || 1),
    );
    const left = (width - scale * (high[0] - low[0])) / 2;
    const top = (height - scale * (high[1] - low[1])) / 2;
    return (x, y) => [left + (x - low[0]) * scale, top + (y - low[1]) * scale];
  }

  drawAnimal(context, points, shade, place) {
    const seen = (i) => Number.isFinite(points[3 * i]) && Number.isFinite(points[3 * i + 1]);
    const sure = (i) => {
      const likelihood = points[3 * i + 2];
      return Number.isFinite(likelihood) ? Math.max(FAINT, Math.min(1, likelihood)) : 1;
    };
    context.strokeStyle = shade;
    context.fillStyle = shade;
    context.lineWidth = 2.2;
    context.lineCap = "round";
    for (const [one, other] of this.about.edges) {
      if (!seen(one) || !seen(other)) continue;
      context.globalAlpha = 0.75 * Math.min(sure(one), sure(other));
      context.beginPath();
      context.moveTo(...place(points[3 * one], points[3 * one + 1]));
      context.lineTo(...place(points[3 * other], points[3 * other + 1]));
      context.stroke();
    }
    for (let i = 0; i < points.length / 3; i += 1) {
      if (!seen(i)) continue;
      context.globalAlpha = sure(i);
      context.beginPath();
      context.arc(...place(points[3 * i], points[3 * i + 1]), i === 0 ? 4.5 : 3.2, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }
}
