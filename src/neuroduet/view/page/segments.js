/** Stretches of time that have a class, drawn as coloured blocks. */

import { toX } from "./axis.js";
import { inkOn } from "./theme.js";

const ROOM_FOR_WORDS = 34;

/**
 * Draw segments that begin and end in seconds.
 * @param {CanvasRenderingContext2D} context Where.
 * @param {{width: number}} panel Its width is the view's.
 * @param {{start: number, end: number}} view The window (s).
 * @param {{start: number, end: number, class: string}[]} segments In order of time.
 * @param {{top: number, tall: number, shade: (name: string) => string}} look Where and in which colours.
 */
export function drawSegments(context, panel, view, segments, { top, tall, shade }) {
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (let i = firstAfter(segments, view.start); i < segments.length; i += 1) {
    const { start, end, class: name } = segments[i];
    if (start >= view.end) break;
    const x = toX(Math.max(start, view.start), view, panel.width);
    const stop = toX(Math.min(end, view.end), view, panel.width);
    const wide = Math.max(stop - x, 0.7);
    context.fillStyle = shade(name);
    context.fillRect(x, top, wide > 3 ? wide - 0.7 : wide, tall);
    if (wide < ROOM_FOR_WORDS || tall < 12) continue;
    context.fillStyle = inkOn(shade(name));
    context.save();
    context.beginPath();
    context.rect(x, top, wide - 3, tall);
    context.clip();
    context.fillText(name.replaceAll("_", " "), x + 4, top + tall / 2 + 0.5);
    context.restore();
  }
}

/**
 * The segments of what is shown, one that lies in two tiles once.
 * @param {{tile: any, from: number, to: number}[]} pieces See `Tiles.pieces`.
 * @param {string} track Which segments of a tile.
 * @returns {{start: number, end: number, class: string}[]} In order of time.
 */
export function shownSegments(pieces, track) {
  const found = pieces.flatMap(({ tile, from, to }) =>
    (tile.data[track] ?? []).filter(({ start, end }) => end > from && start < to));
  const distinct = new Map(found.map((segment) => [segment.start, segment]));
  return [...distinct.values()].sort((one, other) => one.start - other.start);
}

/** Number of the first segment that ends after a time (s). */
export function firstAfter(segments, time) {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle].end <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}
