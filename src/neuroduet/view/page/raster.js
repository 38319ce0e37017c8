/** Activity of every unit over time: events as ticks, or counts per column as intensity. */

import { getBytes } from "./api.js";
import { toX } from "./axis.js";
import { element, makePanel } from "./panel.js";
import { colour, pixel } from "./theme.js";
import { Tiles } from "./tiles.js";

const EVENTS = 1;

/** The fastest unit's peak may be clipped, so that the many others are seen. */
const GAIN = 1.5;

/**
 * Units of one region that stand next to each other.
 * @param {{region: string}[]} units In the order of the rows.
 * @returns {{region: string, first: number, last: number, colour: string}[]}
 */
export function bands(units) {
  const found = [];
  const regions = [];
  units.forEach(({ region }, row) => {
    if (!regions.includes(region)) regions.push(region);
    if (found.at(-1)?.region === region) found.at(-1).last = row;
    else found.push({ region, first: row, last: row, colour: colour(regions.indexOf(region)) });
  });
  return found;
}

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

export class Raster {
  /**
   * @param {object} app What all panels share.
   * @param {"raster"|"rates"} kind Recorded activity, or predicted rates.
   */
  constructor(app, kind) {
    this.app = app;
    this.kind = kind;
    this.units = app.session.activity.units;
    this.bands = bands(this.units);
    const colours = this.units.map((_, row) => pixel(this.band(row).colour));
    this.colours = Uint32Array.from(colours);
    const title = kind === "rates" ? "predicted rates" : app.session.activity.kind;
    this.panel = makePanel(app.stack, kind, `${title} of ${this.units.length} units over time`);
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

  band(row) {
    return this.bands.find(({ first, last }) => first <= row && row <= last);
  }

  label(title) {
    const text = `${title} · ${this.units.length} units`;
    this.panel.gutter.append(element("div", { className: "title", textContent: text }));
    const strip = element("div", { className: "regions" });
    for (const { region, first, last, colour: shade } of this.bands) {
      const name = element("span", { textContent: region || "units" });
      const label = element("div", { className: "region", title: `${region}: ${last - first + 1}` }, name);
      label.style.top = `${(100 * first) / this.units.length}%`;
      label.style.height = `${(100 * (last + 1 - first)) / this.units.length}%`;
      label.style.borderColor = shade;
      strip.append(label);
    }
    this.panel.gutter.append(strip);
  }

  /** Row of the unit at a height of the panel (pixels). */
  rowAt(y) {
    const row = Math.floor((y / this.panel.height) * this.units.length);
    return Math.min(Math.max(row, 0), this.units.length - 1);
  }

  click(x, y) {
    this.app.attempt(() => this.app.showUnit(this.units[this.rowAt(y)].index));
  }

  hover(x, y) {
    const { id, region } = this.units[this.rowAt(y)];
    return `unit ${id} ${region ?? ""}`;
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
    for (const { first } of this.bands.slice(1)) {
      const y = Math.round((first / this.units.length) * this.panel.height);
      context.fillRect(0, y, this.panel.width, 1);
    }
  }

  drawSelected(context) {
    const row = this.units.findIndex(({ index }) => index === this.app.unit);
    if (row < 0) return;
    const tall = this.panel.height / this.units.length;
    context.fillStyle = this.app.theme.accent;
    context.globalAlpha = 0.35;
    const high = Math.max(tall, 3);
    context.fillRect(0, (row + 0.5) * tall - high / 2, this.panel.width, high);
    context.globalAlpha = 1;
  }

  drawImage(context, view, { tile, from, to }) {
    const { width, height, ratio } = this.panel;
    const snap = (time) => Math.round(toX(time, view, width) * ratio) / ratio;
    const perColumn = (tile.end - tile.start) / tile.columns;
    const [x, end] = [snap(from), snap(to)];
    const first = (from - tile.start) / perColumn;
    const columns = (to - from) / perColumn;
    context.imageSmoothingEnabled = columns > end - x || tile.data.rows > height * ratio;
    context.drawImage(
      this.picture(tile, perColumn), first, 0, columns, tile.data.rows, x, 0, end - x, height,
    );
  }

  /** A tile as a picture; intensities mean the same in all tiles of a level. */
  picture(tile, perColumn) {
    const { rows, columns, scale, values } = tile.data;
    const rate = scale / perColumn;
    const peak = Math.max(this.peaks.get(tile.level) ?? 0, rate);
    this.peaks.set(tile.level, peak);
    if (tile.picture && tile.peak === peak) return tile.picture;
    // Rates span decades: a square root keeps the slow units visible.
    const opacity = Uint8Array.from({ length: 256 }, (_, value) =>
      Math.round(Math.min(255, 255 * GAIN * Math.sqrt((value / 255) * (peak > 0 ? rate / peak : 0)))));
    const picture = tile.picture ?? document.createElement("canvas");
    Object.assign(picture, { width: columns, height: rows });
    const drawing = picture.getContext("2d");
    const image = drawing.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let row = 0, i = 0; row < rows; row += 1) {
      const shade = this.colours[row] & 0xffffff;
      for (const last = i + columns; i < last; i += 1) pixels[i] = shade | (opacity[values[i]] << 24);
    }
    drawing.putImageData(image, 0, 0);
    Object.assign(tile, { picture, peak });
    return picture;
  }

  drawEvents(view, pieces) {
    const { width, height, data } = this.image;
    const pixels = new Uint32Array(data.buffer);
    pixels.fill(0);
    const tall = height / this.units.length;
    const high = Math.max(1, Math.round(tall > 3 ? tall * 0.85 : tall));
    const wide = Math.max(1, Math.round(this.panel.ratio));
    const scale = width / (view.end - view.start);
    for (const { tile, from, to } of pieces) {
      const { times, row } = tile.data;
      const offset = tile.start - view.start;
      const [low, high_] = [Math.max(from, view.start) - tile.start, Math.min(to, view.end) - tile.start];
      for (let i = 0; i < times.length; i += 1) {
        if (times[i] < low || times[i] >= high_) continue;
        const x = Math.floor((times[i] + offset) * scale);
        const shade = this.colours[row[i]];
        const top = Math.floor(row[i] * tall);
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
