/** The whole recording in a strip; the shown window is a brush that can be dragged. */

import { getBytes, getJson } from "./api.js";
import { toTime, toX } from "./axis.js";
import { element, makePanel } from "./panel.js";
import { decode } from "./raster.js";
import { drawSegments } from "./segments.js";
import { colour } from "./theme.js";

const COLUMNS = 900;
const REACH = 5;
const STRIP = 7;

export class Overview {
  /** @param {object} app What all panels share. */
  constructor(app) {
    this.app = app;
    this.panel = makePanel(app.stack, "overview", "the whole recording and the shown window");
    const about = element("div", { className: "title", textContent: "recording", title: "the whole recording" });
    this.panel.gutter.append(about);
    this.levels = [];
    this.whole = app.session.whole;
  }

  /** Fetch what the strip shows: the summed activity, or the first continuous behaviour. */
  async load() {
    const { id, whole, activity, behaviours } = this.app.session;
    const query = { id, start: whole.start, end: whole.end, columns: COLUMNS };
    const trace = behaviours.find(({ kind, per }) => kind === "continuous" && per === "bin");
    if (activity) this.levels = summed(decode(await getBytes("/api/raster", query)), whole);
    else if (trace) {
      const answer = await getJson("/api/trace", { ...query, name: trace.name });
      this.levels = (answer.true?.[0]?.high ?? []).map((value) => value ?? trace.low);
    }
    const [low, high] = [Math.min(...this.levels), Math.max(...this.levels)];
    // Activity is drawn from nothing at all, a behaviour from its lowest value.
    const floor = activity ? Math.min(0, low) : low;
    this.levels = this.levels.map((value) => (value - floor) / (high - floor || 1));
    this.app.redraw();
  }

  draw(context, view) {
    const { whole } = this.app.session;
    const { width, height } = this.panel;
    const { theme, labels } = this.app;
    const rows = labels?.about.predicted ? 2 : 1;
    // Where there is nothing else to show, the labels take the whole height.
    const strip = this.levels.length > 0 ? STRIP : height / rows;
    const tall = height - (labels ? rows * strip : 0);
    context.fillStyle = theme.soft;
    context.globalAlpha = 0.55;
    const wide = width / this.levels.length;
    this.levels.forEach((level, i) => {
      context.fillRect(i * wide, (tall - 2) * (1 - level), wide + 0.5, (tall - 2) * level);
    });
    context.globalAlpha = 1;
    if (labels) this.drawLabels(context, labels, tall, strip);
    const [x, end] = [toX(view.start, whole, width), toX(view.end, whole, width)];
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.22;
    context.fillRect(x, 0, end - x, height);
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeStyle = theme.accent;
    context.strokeRect(x + 0.75, 0.75, Math.max(end - x - 1.5, 2), height - 1.5);
  }

  drawLabels(context, labels, top, strip) {
    const { whole } = this.app.session;
    const shade = (name) => colour(Math.max(0, labels.about.classes.indexOf(name)));
    drawSegments(context, this.panel, whole, labels.truth, { top, tall: strip - 1, shade });
    if (!this.app.predictions || !labels.about.predicted) return;
    const look = { top: top + strip, tall: strip - 1, shade };
    drawSegments(context, this.panel, whole, labels.predicted, look);
  }

  edgeAt(x) {
    const { whole } = this.app.session;
    const at = (time) => toX(time, whole, this.panel.width);
    const { start, end } = this.app.view;
    if (at(end) - at(start) < 4 * REACH) return null;
    if (Math.abs(at(start) - x) <= REACH) return "start";
    return Math.abs(at(end) - x) <= REACH ? "end" : null;
  }

  cursor(x) {
    return this.edgeAt(x) ? "ew-resize" : "grab";
  }

  grab(x) {
    const { whole } = this.app.session;
    const time = (at) => toTime(at, whole, this.panel.width);
    const side = this.edgeAt(x);
    const { start, end } = this.app.view;
    const held = side !== null || (start <= time(x) && time(x) <= end);
    // Beside the brush, the window comes to the pointer first.
    const by = held ? 0 : time(x) - (start + end) / 2;
    const shift = (to) => by + time(to) - time(x);
    const move = (to) => {
      if (side === "start") this.app.setView({ start: Math.min(time(to), end - 0.01), end });
      else if (side === "end") this.app.setView({ start, end: Math.max(time(to), start + 0.01) });
      else this.app.setView({ start: start + shift(to), end: end + shift(to) });
    };
    if (!held) move(x);
    return { move, drop: () => {} };
  }
}

/** Activity of all units in each column. */
function summed(data, whole) {
  const sums = new Float64Array(COLUMNS);
  if (data.times) {
    const scale = COLUMNS / (whole.end - whole.start);
    for (const time of data.times) sums[Math.min(COLUMNS - 1, Math.floor(time * scale))] += 1;
    return [...sums];
  }
  const { rows, columns, values } = data;
  for (let row = 0, i = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1, i += 1) sums[column] += values[i];
  }
  return [...sums.subarray(0, columns)];
}
