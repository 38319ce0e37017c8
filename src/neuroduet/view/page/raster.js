/** Activity of every unit over time: events as ticks, or counts per column as intensity. */

import { getBytes } from "./api.js";
import { toTime, toX } from "./axis.js";
import { counted, element, makePanel } from "./panel.js";
import { colour, pixel } from "./theme.js";
import { Tiles } from "./tiles.js";

const EVENTS = 1;

/** Of what is not zero, as much may be clipped, so that the many slow units are seen. */
const CLIPPED = 0.01;

/** Names of regions that are lower would be cut (pixels). */
const LEAST_NAMED = 12;

/** Read an answer of /api/raster or /api/rates. */
export function decode(buffer) {
  const [mode, rows, columns, count] = new Uint32Array(buffer, 0, 4);
  if (mode === EVENTS) {
    const times = new Float32Array(buffer, 16, count);
    return { mode, rows, times, row: new Uint16Array(buffer, 16 + 4 * count, count) };
  }
  const [scale] = new Float32Array(buffer, 16, 1);
  return { mode, rows, columns, scale, values: new Uint8Array(buffer, 20, rows * columns) };
}

/** A unit in words; many are called "unit" something already. */
export const unitName = (id) => (/^unit/i.test(id) ? id : `unit ${id}`);

export class Raster {
  /**
   * @param {object} app What all panels share.
   * @param {"raster"|"rates"} kind Recorded activity, or predicted rates.
   */
  constructor(app, kind) {
    this.app = app;
    this.kind = kind;
    this.units = app.session.activity.units;
    this.rows = app.rows;
    this.colours = new Uint32Array(this.units.length);
    this.rows.bands.forEach(({ first, last }, i) => this.colours.fill(pixel(colour(i)), first, last + 1));
    const title = kind === "rates" ? "predicted rates" : app.session.activity.kind;
    this.panel = makePanel(app.stack, kind, `${title} of ${counted(this.units.length, "unit")} over time`);
    this.label(title);
    this.tiles = new Tiles(
      async (start, end, columns, signal) => {
        const query = { id: app.session.id, start, end, columns };
        return decode(await getBytes(`/api/${kind}`, query, signal));
      },
      app.session.whole, app.arrived, app.failed,
    );
    this.layer = document.createElement("canvas");
    this.peaks = new Map();
  }

  label(title) {
    this.count = element("span", {});
    this.panel.gutter.append(element("div", { className: "title" }, `${title} · `, this.count));
    const strip = element("div", { className: "regions" });
    this.labels = this.rows.bands.map((band, i) => {
      const units = counted(band.last - band.first + 1, "unit");
      const words = band.region || (this.rows.bands.length > 1 ? "no region" : "");
      const label = element(
        "button",
        { type: "button", className: "region", title: `${words || "no regions"}: ${units}; click to see them alone` },
        element("span", { textContent: words }),
      );
      label.setAttribute("aria-label", `${words || "no regions"}, ${units}`);
      label.style.borderColor = colour(i);
      label.addEventListener("click", () => this.app.showRows((rows) => rows.toggle(band)));
      strip.append(label);
      return label;
    });
    this.panel.gutter.append(strip);
  }

  /** Put the regions where their units are shown. */
  relabel() {
    const { first: top, count, end, all, bands } = this.rows;
    this.count.textContent = `${count === all ? "" : `${count} of `}${counted(all, "unit")}`;
    bands.forEach(({ first, last }, i) => {
      const [low, high] = [Math.max(first, top), Math.min(last + 1, end)];
      const { style } = this.labels[i];
      this.labels[i].hidden = low >= high;
      style.top = `${(100 * (low - top)) / count}%`;
      style.height = `${(100 * (high - low)) / count}%`;
      const { height } = this.panel;
      this.labels[i].classList.toggle("low", (height * (high - low)) / count < LEAST_NAMED);
    });
  }

  /** Where a row begins (pixels). */
  toY(row) {
    return ((row - this.rows.first) / this.rows.count) * this.panel.height;
  }

  /** Row of the unit at a height of the panel (pixels). */
  rowAt(y) {
    const { first, count, end } = this.rows;
    return Math.min(Math.max(first + Math.floor((y / this.panel.height) * count), first), end - 1);
  }

  /** Zoom into the units around a height of the panel (pixels). */
  zoomRows(y, factor) {
    this.app.showRows((rows) => rows.zoom(y / this.panel.height, factor));
  }

  /** What moves through the units from here on, by pixels downwards. */
  dragRows() {
    const { first, count } = this.rows;
    return (by) => this.app.showRows((rows) => rows.show(first - (by / this.panel.height) * count, count));
  }

  click(x, y) {
    this.app.attempt(() => this.app.showUnit(this.units[this.rowAt(y)].index));
  }

  hover(x, y) {
    const row = this.rowAt(y);
    const { id, region } = this.units[row];
    const rate = this.rateAt(toTime(x, this.app.view, this.panel.width), row);
    return [unitName(id), region, rate].filter(Boolean).join(" · ");
  }

  /** Rate of a unit in words, where an image shows one. */
  rateAt(time, row) {
    const piece = this.tiles.pieces(this.app.view).find(({ from, to }) => from <= time && time < to);
    if (!piece || piece.tile.data.mode === EVENTS || this.app.session.activity.kind === "traces") return "";
    const { start, end, data: { columns, scale, values } } = piece.tile;
    const column = Math.min(columns - 1, Math.floor(((time - start) / (end - start)) * columns));
    const value = values[row * columns + column];
    // An image cannot tell a rate of 0 from no prediction.
    if (this.kind === "rates" && value === 0) return "";
    const hz = (value / 255) * scale * (columns / (end - start));
    return `${Number(hz.toPrecision(2))} Hz`;
  }

  draw(context, view) {
    const { width, height } = this.panel;
    const pieces = this.tiles.pieces(view);
    this.drawBands(context);
    this.drawSelected(context);
    for (const piece of pieces) {
      if (piece.tile.data.mode !== EVENTS) this.drawImage(context, view, piece);
    }
    const events = pieces.filter(({ tile }) => tile.data.mode === EVENTS);
    if (events.length === 0 || this.layerFails()) return;
    this.drawEvents(view, events);
    context.drawImage(this.layer, 0, 0, width, height);
  }

  layerFails() {
    const { width, height } = this.panel.canvas;
    if (this.layer.width !== width || this.layer.height !== height) {
      Object.assign(this.layer, { width, height });
      this.image = width && height ? this.layer.getContext("2d").createImageData(width, height) : null;
    }
    return !this.image;
  }

  drawBands(context) {
    context.fillStyle = this.app.theme.line;
    for (const { first } of this.rows.bands.slice(1)) {
      context.fillRect(0, Math.round(this.toY(first)), this.panel.width, 1);
    }
  }

  drawSelected(context) {
    const row = this.units.findIndex(({ index }) => index === this.app.unit);
    if (row < 0) return;
    const high = Math.max(this.panel.height / this.rows.count, 3);
    context.fillStyle = this.app.theme.accent;
    context.globalAlpha = 0.35;
    context.fillRect(0, this.toY(row + 0.5) - high / 2, this.panel.width, high);
    context.globalAlpha = 1;
  }

  drawImage(context, view, { tile, from, to }) {
    const { width, height, ratio } = this.panel;
    const snap = (time) => Math.round(toX(time, view, width) * ratio) / ratio;
    const perColumn = (tile.end - tile.start) / tile.columns;
    const [x, end] = [snap(from), snap(to)];
    const first = (from - tile.start) / perColumn;
    const columns = (to - from) / perColumn;
    context.imageSmoothingEnabled = columns > end - x;
    const picture = this.picture(tile, perColumn);
    context.drawImage(picture, first, 0, columns, picture.height, x, 0, end - x, height);
  }

  /** Shown rows of a tile as a picture; intensities mean the same in all tiles of a level. */
  picture(tile, perColumn) {
    const { first, count } = this.rows;
    const tall = this.panel.canvas.height;
    const looks = `${first}:${count}:${tall}`;
    if (tile.looks !== looks) {
      const means = averaged(tile.data, first, count, tall);
      const scale = tile.data.scale / (255 * perColumn);
      Object.assign(tile, { looks, means, scale, usual: scale * usual(means), peak: null });
    }
    const shared = `${tile.level}:${looks}`;
    const peak = Math.max(this.peaks.get(shared) ?? 0, tile.usual);
    this.peaks.set(shared, peak);
    if (tile.peak === peak) return tile.picture;
    const picture = tile.picture ?? document.createElement("canvas");
    Object.assign(picture, { width: tile.data.columns, height: tall });
    const drawing = picture.getContext("2d");
    const image = drawing.createImageData(picture.width, tall);
    const pixels = new Uint32Array(image.data.buffer);
    for (let line = 0, i = 0; line < tall; line += 1) {
      const shade = this.colours[first + Math.floor((line * count) / tall)] & 0xffffff;
      for (const last = i + picture.width; i < last; i += 1) {
        // Rates span decades: a square root keeps the slow units visible.
        const opacity = peak > 0 ? Math.min(255, 255 * Math.sqrt((tile.means[i] * tile.scale) / peak)) : 0;
        pixels[i] = shade | (opacity << 24);
      }
    }
    drawing.putImageData(image, 0, 0);
    Object.assign(tile, { picture, peak });
    return picture;
  }

  drawEvents(view, pieces) {
    const { width, height, data } = this.image;
    const pixels = new Uint32Array(data.buffer);
    pixels.fill(0);
    const { first, end: beyond, count } = this.rows;
    const tall = height / count;
    const high = Math.max(1, Math.round(tall > 3 ? tall * 0.85 : tall));
    const wide = Math.max(1, Math.round(this.panel.ratio));
    const scale = width / (view.end - view.start);
    for (const { tile, from, to } of pieces) {
      const { times, row } = tile.data;
      const offset = tile.start - view.start;
      const [low, high_] = [Math.max(from, view.start) - tile.start, Math.min(to, view.end) - tile.start];
      for (let i = 0; i < times.length; i += 1) {
        if (times[i] < low || times[i] >= high_ || row[i] < first || row[i] >= beyond) continue;
        const x = Math.floor((times[i] + offset) * scale);
        const shade = this.colours[row[i]];
        const top = Math.floor((row[i] - first) * tall);
        const stop = Math.min(x + wide, width);
        for (let y = top, end = Math.min(top + high, height); y < end; y += 1) {
          for (let at = y * width + Math.max(x, 0), last = y * width + stop; at < last; at += 1) {
            pixels[at] = shade;
          }
        }
      }
    }
    this.layer.getContext("2d").putImageData(this.image, 0, 0);
  }
}

/** Rows of an image as so many lines of pixels; of several that share a line, the mean. */
function averaged({ columns, values }, first, count, tall) {
  const means = new Float32Array(tall * columns);
  for (let line = 0; line < tall; line += 1) {
    const begin = first + Math.floor((line * count) / tall);
    const end = Math.max(begin + 1, first + Math.floor(((line + 1) * count) / tall));
    for (let row = begin; row < end; row += 1) {
      for (let column = 0, to = line * columns, from = row * columns; column < columns; column += 1, to += 1, from += 1) {
        means[to] += values[from] / (end - begin);
      }
    }
  }
  return means;
}

/** The value that few others exceed, of a sample of those that are not zero. */
function usual(values) {
  const step = Math.max(1, Math.floor(values.length / 50000));
  const some = new Float32Array(Math.ceil(values.length / step)).map((_, i) => values[i * step]);
  const known = some.filter((value) => value > 0).sort();
  return known[Math.floor(known.length * (1 - CLIPPED))] ?? 0;
}
