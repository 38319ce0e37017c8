/** Actions over time: what humans said, what a model says, and how sure it is. */

import { toTime, toX } from "./axis.js";
import { element, makePanel } from "./panel.js";
import { drawSegments } from "./segments.js";
import { colour } from "./theme.js";

const ROW = 26;
const GAP = 4;
const REACH = 6;

export class Actions {
  /**
   * @param {object} app What all panels share.
   * @param {import("./labels.js").Labels} labels What is drawn and corrected.
   */
  constructor(app, labels) {
    this.app = app;
    this.labels = labels;
    this.about = app.session.actions;
    this.panel = makePanel(app.stack, "actions", "actions over time: labels, then predictions");
    this.panel.section.classList.toggle("predicted", this.about.predicted);
    this.drag = null;
    this.tiles = labels.tiles;
    this.label();
  }

  label() {
    const rows = this.about.predicted ? ["labels", "predicted", "probability"] : ["labels"];
    rows.forEach((text, i) => {
      const row = element("div", { className: "row", textContent: text });
      row.style.top = `${i * (ROW + GAP)}px`;
      row.style.lineHeight = `${ROW}px`;
      this.panel.gutter.append(row);
    });
  }

  shade(name) {
    return colour(Math.max(0, this.about.classes.indexOf(name)));
  }

  draw(context, view) {
    const { panel, labels } = this;
    const shade = (name) => this.shade(name);
    context.fillStyle = this.app.theme.track;
    context.fillRect(0, 0, panel.width, ROW);
    drawSegments(context, panel, view, labels.visible("true"), { top: 0, tall: ROW, shade });
    if (this.about.predicted && this.app.predictions) {
      context.fillStyle = this.app.theme.track;
      context.fillRect(0, ROW + GAP, panel.width, ROW);
      const look = { top: ROW + GAP, tall: ROW, shade };
      drawSegments(context, panel, view, labels.visible("predicted"), look);
      for (const piece of this.tiles.pieces(view)) this.drawProbabilities(context, view, piece);
    }
    this.drawSelection(context, view);
  }

  drawProbabilities(context, view, { tile, from, to }) {
    if (!tile.data.probabilities) return;
    const top = 2 * (ROW + GAP);
    const tall = this.panel.height - top;
    const { classes } = tile.data.probabilities;
    const columns = classes[0]?.length ?? 0;
    const perColumn = (tile.end - tile.start) / columns;
    const at = (time) => (time - tile.start) / perColumn;
    const first = Math.max(0, Math.floor(at(Math.max(from, view.start))) - 1);
    const last = Math.min(columns, Math.ceil(at(Math.min(to, view.end))) + 1);
    const x = Float32Array.from({ length: last - first }, (_, i) =>
      toX(tile.start + (first + i + 0.5) * perColumn, view, this.panel.width));
    // Half a pixel of either neighbour would leave a slit between two tiles.
    const [left, right] = [from, to].map((time) => Math.round(toX(time, view, this.panel.width)));
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, tall);
    context.clip();
    const floor = new Float32Array(last - first);
    classes.forEach((values, k) => {
      const base = floor.slice();
      for (let i = first; i < last; i += 1) floor[i - first] += values[i] ?? 0;
      this.fillBetween(context, x, base, floor, { top, tall, shade: colour(k), left, right });
    });
    context.restore();
  }

  /** One class of the stack, from what lies below it to what lies below the next. */
  fillBetween(context, x, base, ceiling, { top, tall, shade, left, right }) {
    const toY = (share) => top + tall * (1 - share);
    const n = x.length;
    if (n === 0) return;
    context.fillStyle = shade;
    context.beginPath();
    context.moveTo(left, toY(ceiling[0]));
    for (let i = 0; i < n; i += 1) context.lineTo(x[i], toY(ceiling[i]));
    context.lineTo(right, toY(ceiling[n - 1]));
    context.lineTo(right, toY(base[n - 1]) + 0.5);
    for (let i = n - 1; i >= 0; i -= 1) context.lineTo(x[i], toY(base[i]) + 0.5);
    context.lineTo(left, toY(base[0]) + 0.5);
    context.fill();
  }

  drawSelection(context, view) {
    const chosen = this.drag ?? this.labels.selection;
    if (!chosen) return;
    const { width } = this.panel;
    const top = chosen.track === "predicted" ? ROW + GAP : 0;
    const x = toX(this.labels.timeOf(chosen.start_frame), view, width);
    const end = toX(this.labels.timeOf(chosen.end_frame), view, width);
    const { ink, card } = this.app.theme;
    const [left, right] = [Math.max(x, -4), Math.min(end, width + 4)];
    for (const [shade, inset] of [[ink, 1], [card, 2.5]]) {
      context.strokeStyle = shade;
      context.lineWidth = inset === 1 ? 2 : 1;
      context.strokeRect(left + inset, top + inset, Math.max(right - left - 2 * inset, 1), ROW - 2 * inset);
    }
    if (chosen.track === "predicted" || this.app.session.read_only) return;
    context.fillStyle = ink;
    for (const edge of [x, end]) context.fillRect(edge - 2.5, top + 5, 5, ROW - 10);
  }

  trackAt(y) {
    if (y < ROW + GAP / 2) return "true";
    return this.about.predicted && this.app.predictions && y < 2 * ROW + GAP ? "predicted" : null;
  }

  edgeAt(x, y) {
    const chosen = this.labels.selection;
    if (this.trackAt(y) !== "true" || chosen?.track !== "true") return null;
    if (this.app.session.read_only) return null;
    const at = (frame) => toX(this.labels.timeOf(frame), this.app.view, this.panel.width);
    if (Math.abs(at(chosen.end_frame) - x) <= REACH) return "end";
    return Math.abs(at(chosen.start_frame) - x) <= REACH ? "start" : null;
  }

  cursor(x, y) {
    if (this.edgeAt(x, y)) return "ew-resize";
    return this.trackAt(y) === "true" && !this.app.session.read_only ? "crosshair" : "";
  }

  /** Begin to drag: an edge of the selected bout, or a new selection on the row of labels. */
  grab(x, y) {
    const side = this.edgeAt(x, y);
    if (side) return this.grabEdge(side);
    if (this.trackAt(y) !== "true" || this.app.session.read_only) return null;
    const origin = this.frameUnder(x);
    const range = (to) => {
      const frame = this.frameUnder(to);
      const [start_frame, end_frame] = [Math.min(origin, frame), Math.max(origin, frame)];
      return { track: "true", start_frame, end_frame, class: null };
    };
    return {
      move: (to) => this.preview(range(to)),
      drop: (to, clicked) => {
        this.preview(null);
        if (clicked) this.click(x, y);
        else if (range(to).end_frame > range(to).start_frame) this.labels.select(range(to));
      },
    };
  }

  grabEdge(side) {
    const name = side === "start" ? "start_frame" : "end_frame";
    return {
      move: (to) => this.preview({ ...this.labels.selection, [name]: this.frameUnder(to) }),
      drop: (to, clicked) => {
        this.preview(null);
        if (!clicked) this.app.attempt(() => this.labels.moveEdge(side, this.frameUnder(to)));
      },
    };
  }

  preview(range) {
    this.drag = range;
    this.app.redraw();
  }

  frameUnder(x) {
    return this.labels.frameAt(toTime(x, this.app.view, this.panel.width));
  }

  /** Select the bout under the pointer. */
  click(x, y) {
    const time = toTime(x, this.app.view, this.panel.width);
    const track = this.trackAt(y) ?? "predicted";
    const bout = this.labels.segmentAt(track, time);
    this.app.setCursor(time);
    if (bout) this.app.attempt(() => this.app.showBout(track, bout, false));
    else this.labels.select(null);
  }

  hover(x, y) {
    const time = toTime(x, this.app.view, this.panel.width);
    const track = this.trackAt(y);
    const bout = track && this.labels.segmentAt(track, time);
    return bout ? `${track === "true" ? "label" : "predicted"} ${bout.class}` : "";
  }
}
