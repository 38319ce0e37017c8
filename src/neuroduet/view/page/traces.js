/** Behaviours over time: what was observed, and dashed over it what was predicted. */

import { getJson } from "./api.js";
import { short, toTime, toX } from "./axis.js";
import { element, makePanel } from "./panel.js";
import { colour, mixed, PALETTE } from "./theme.js";
import { drawSegments, firstAfter, shownSegments } from "./segments.js";
import { Tiles } from "./tiles.js";

const DASH = [5, 3];
const ROOM = 0.08;

/** Channels whose values are said under the pointer, at most. */
const MOST_SAID = 4;

/** Classes that the key names, at most; the others stand in its tooltip. */
const MOST_NAMED = 8;

/** How much a predicted class is paler, so that the two rows are told apart. */
const PALER = 0.45;

/** Predictions lie over the truth, which is seen through them where both fill the panel. */
const SEEN_THROUGH = 0.65;

/** Share of the columns from which on a line is drawn as what lies between low and high. */
const MOSTLY = 0.25;

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
    this.colours = new Map(behaviour.classes.map((name, i) => [name, colour(i)]));
    this.label();
    this.tiles = new Tiles(
      (start, end, columns, signal) =>
        getJson("/api/trace", { id: app.session.id, name: behaviour.name, start, end, columns }, signal),
      app.session.whole, app.arrived, app.failed,
    );
  }

  label() {
    const { name, kind, channels, classes, per } = this.behaviour;
    const title = element("div", { className: "title", textContent: name.replaceAll("_", " ") });
    title.title = `${name}: ${kind}, per ${per}`;
    const key = element("div", { className: "key" });
    const words = kind === "categorical" ? classes : channels.length > 1 ? channels : [];
    words.slice(0, MOST_NAMED).forEach((word, i) => {
      const swatch = element("i", {});
      swatch.style.background = colour(i);
      key.append(element("span", {}, swatch, word));
    });
    const more = words.length - MOST_NAMED;
    if (more > 0) key.append(element("span", { textContent: `and ${more} more` }));
    if (words.length > 0) key.title = words.join(", ");
    if (this.behaviour.predicted) {
      const [className, textContent] = kind === "continuous" ? ["dashed", "predicted"] : ["below", "below: predicted"];
      key.append(element("span", { className, textContent }));
    }
    this.panel.gutter.append(title, key);
    if (kind !== "continuous") return;
    const { low, high } = this.behaviour;
    const scale = element("div", { className: "scale", title: "scale: the usual range" });
    scale.append(...[high, low].map((value) => element("span", { textContent: short(value, high - low) })));
    this.panel.gutter.append(scale);
  }

  /** Values under the pointer in words. */
  valueAt({ tile, from, to }, time) {
    const span = this.behaviour.high - this.behaviour.low;
    const said = (lines, word) => {
      if (!lines || lines.length > MOST_SAID) return "";
      const column = Math.floor(((time - tile.start) / (tile.end - tile.start)) * lines[0].low.length);
      const values = lines.map(({ low, high }) => between(low[column], high[column], span));
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
    const pieces = this.tiles.pieces(view);
    const shade = (name) => this.colours.get(name) ?? PALETTE[0];
    drawSegments(context, this.panel, view, shownSegments(pieces, "segments"), { top: 0, tall, shade });
    if (!predicted) return;
    const paler = (name) => mixed(shade(name), this.app.theme.card, PALER);
    const look = { top: tall + 3, tall, shade: paler };
    drawSegments(context, this.panel, view, shownSegments(pieces, "predicted"), look);
  }

  drawLines(context, view) {
    const { theme, predictions } = this.app;
    const pieces = this.tiles.pieces(view);
    const single = this.behaviour.channels.length <= 1;
    context.lineJoin = "round";
    for (const [data, dashed] of [["true", false], ["predicted", true]]) {
      if (dashed && !predictions) continue;
      const channels = Math.max(0, ...pieces.map(({ tile }) => tile.data[data]?.length ?? 0));
      for (let channel = 0; channel < channels; channel += 1) {
        const lines = pieces.map((piece) => [piece, piece.tile.data[data]?.[channel]]).filter(([, line]) => line);
        // Of strokes up and down, dashes would leave out most.
        const filled = dashed && lines.some(([, line]) => isBand(line));
        context.setLineDash(dashed && !filled ? DASH : []);
        context.lineWidth = dashed && !filled ? 1.8 : 1.3;
        context.strokeStyle = single ? (dashed ? PALETTE[0] : theme.ink) : colour(channel);
        context.globalAlpha = filled ? SEEN_THROUGH : dashed || single ? 1 : 0.55;
        context.beginPath();
        for (const [piece, line] of lines) this.trail(context, view, piece, line);
        context.stroke();
      }
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** Add what a tile knows of a channel to the path: a stroke from low to high per column. */
  trail(context, view, { tile, from, to }, { low, high }) {
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
      const y = toY(low[i]);
      if (drawing) context.lineTo(x, y);
      else context.moveTo(x, y);
      if (high[i] !== low[i]) context.lineTo(x, toY(high[i]));
      drawing = true;
    }
  }
}

/** Whether many columns hold more than one value. */
function isBand({ low, high }) {
  const known = low.filter((value) => value !== null).length;
  return low.filter((value, i) => value !== high[i]).length > MOSTLY * known;
}

/** What a column of pixels holds, in words. */
function between(low, high, span) {
  if (low === null) return "–";
  const [from, to] = [short(low, span), short(high, span)];
  return from === to ? from : `${from} to ${to}`;
}
