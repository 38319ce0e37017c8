/** Behaviours over time: what was observed, and dashed over it what was predicted. */

import { getJson } from "./api.js";
import { toTime, toX } from "./axis.js";
import { element, makePanel } from "./panel.js";
import { colour, PALETTE } from "./theme.js";
import { drawSegments, firstAfter } from "./segments.js";
import { Tiles } from "./tiles.js";

const DASH = [5, 3];
const ROOM = 0.08;

/** Channels whose values are said under the pointer, at most. */
const MOST_SAID = 4;

const short = (value) => String(Number(value.toPrecision(3)));

export class Trace {
  /**
   * @param {object} app What all panels share.
   * @param {object} behaviour As /api/session describes it.
   */
  constructor(app, behaviour) {
    this.app = app;
    this.behaviour = behaviour;
    this.panel = makePanel(app.stack, "trace", `${behaviour.name} over time`);
    this.panel.section.classList.toggle("states", behaviour.kind === "categorical");
    this.colours = new Map((behaviour.classes ?? []).map((name, i) => [String(name), colour(i)]));
    this.label();
    this.tiles = new Tiles(
      (start, end, columns, signal) =>
        getJson("/api/trace", { id: app.session.id, name: behaviour.name, start, end, columns }, signal),
      app.session.whole, app.arrived, app.failed,
    );
  }

  label() {
    const { name, kind, channels = [], classes = [], per } = this.behaviour;
    const title = element("div", { className: "title", textContent: name.replaceAll("_", " ") });
    title.title = `${name}: ${kind}, per ${per}`;
    const key = element("div", { className: "key" });
    const words = kind === "categorical" ? classes : channels.length > 1 ? channels : [];
    words.slice(0, 8).forEach((word, i) => {
      const swatch = element("i", {});
      swatch.style.background = colour(i);
      key.append(element("span", {}, swatch, String(word)));
    });
    if (kind === "continuous" && this.behaviour.predicted) {
      key.append(element("span", { className: "dashed", textContent: "predicted" }));
    }
    this.panel.gutter.append(title, key);
    if (kind !== "continuous") return;
    const { low, high } = this.behaviour;
    const scale = element("div", { className: "scale", title: "scale: the usual range" });
    // What rounding leaves of nothing would be a long number.
    const plain = (value) => short(Math.abs(value) < (high - low) / 1000 ? 0 : value);
    scale.append(...[high, low].map((value) => element("span", { textContent: plain(value) })));
    this.panel.gutter.append(scale);
  }

  /** Values under the pointer in words. */
  valueAt({ tile, from, to }, time) {
    const said = (lines, word) => {
      if (!lines || lines.length > MOST_SAID) return "";
      const column = Math.floor(((time - tile.start) / (tile.end - tile.start)) * lines[0].low.length);
      const values = lines.map(({ low, high }) => (low[column] === null ? "–" : short((low[column] + high[column]) / 2)));
      return `${word} ${values.join(", ")}`;
    };
    const { true: truth, predicted } = tile.data;
    return [said(truth, ""), this.app.predictions ? said(predicted, "predicted") : ""].join(" ");
  }

  /** What stands under the pointer. */
  hover(x, y) {
    const { kind, name } = this.behaviour;
    const time = toTime(x, this.app.view, this.panel.width);
    const piece = this.tiles.pieces(this.app.view).find(({ from, to }) => from <= time && time < to);
    if (!piece) return name;
    if (kind !== "categorical") return `${name} ${this.valueAt(piece, time)}`.trim();
    const { segments, predicted } = piece.tile.data;
    const lower = predicted && this.app.predictions && y > this.panel.height / 2;
    const shown = lower ? predicted : segments;
    const found = shown[firstAfter(shown, time)];
    const said = found && found.start <= time ? found.class : "–";
    return `${name} ${lower ? "predicted " : ""}${said}`;
  }

  draw(context, view) {
    if (this.behaviour.kind === "categorical") this.drawClasses(context, view);
    else this.drawLines(context, view);
  }

  drawClasses(context, view) {
    const { height } = this.panel;
    const predicted = this.behaviour.predicted && this.app.predictions;
    const tall = predicted ? (height - 3) / 2 : height;
    for (const piece of this.tiles.pieces(view)) {
      const stretch = { from: piece.from, to: piece.to };
      const { segments, predicted: guessed } = piece.tile.data;
      this.drawRow(context, view, segments ?? [], 0, tall, stretch);
      context.globalAlpha = 0.7;
      if (predicted && guessed) this.drawRow(context, view, guessed, tall + 3, tall, stretch);
      context.globalAlpha = 1;
    }
  }

  drawRow(context, view, segments, top, tall, stretch) {
    const shade = (name) => this.colours.get(String(name)) ?? PALETTE[0];
    drawSegments(context, this.panel, view, segments, { top, tall, shade, stretch });
  }

  drawLines(context, view) {
    const { theme, predictions } = this.app;
    const pieces = this.tiles.pieces(view);
    const single = (this.behaviour.channels ?? [0]).length <= 1;
    context.lineJoin = "round";
    for (const [data, dashed] of [["true", false], ["predicted", true]]) {
      if (dashed && !predictions) continue;
      context.setLineDash(dashed ? DASH : []);
      context.lineWidth = dashed ? 1.8 : 1.3;
      const channels = Math.max(0, ...pieces.map(({ tile }) => tile.data[data]?.length ?? 0));
      for (let channel = 0; channel < channels; channel += 1) {
        context.strokeStyle = single ? (dashed ? PALETTE[0] : theme.ink) : colour(channel);
        context.globalAlpha = dashed || single ? 1 : 0.55;
        context.beginPath();
        for (const piece of pieces) {
          const line = piece.tile.data[data]?.[channel];
          if (line) this.trail(context, view, piece, line, dashed);
        }
        context.stroke();
      }
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** Add what a tile knows of a channel to the path: a stroke from low to high per column. */
  trail(context, view, { tile, from, to }, { low, high }, middle) {
    const { width, height } = this.panel;
    const { low: floor, high: ceiling } = this.behaviour;
    const span = ceiling > floor ? ceiling - floor : 1;
    const toY = (value) => height * (1 - ROOM - ((value - floor) / span) * (1 - 2 * ROOM));
    const perColumn = (tile.end - tile.start) / low.length;
    const first = Math.floor((Math.max(from, view.start) - tile.start) / perColumn) - 1;
    const last = Math.ceil((Math.min(to, view.end) - tile.start) / perColumn) + 1;
    let drawing = false;
    for (let i = Math.max(0, first); i < Math.min(low.length, last); i += 1) {
      if (low[i] === null) {
        drawing = false;
        continue;
      }
      const x = toX(tile.start + (i + 0.5) * perColumn, view, width);
      const y = toY(middle ? (low[i] + high[i]) / 2 : low[i]);
      if (drawing) context.lineTo(x, y);
      else context.moveTo(x, y);
      if (!middle && high[i] !== low[i]) context.lineTo(x, toY(high[i]));
      drawing = true;
    }
  }
}
