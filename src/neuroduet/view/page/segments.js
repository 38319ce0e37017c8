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
 * @param {{top: number, tall: number, shade: (name: string) => string,
 *   stretch?: {from: number, to: number}}} look Where and in which colours; nothing is drawn
 *   outside the stretch.
 */
export function drawSegments(context, panel, view, segments, { top, tall, shade, stretch }) {
  const low = Math.max(view.start, stretch?.from ?? -Infinity);
  const high = Math.min(view.end, stretch?.to ?? Infinity);
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (let i = firstAfter(segments, low); i < segments.length; i += 1) {
    const { start, end, class: name } = segments[i];
    if (start >= high) break;
    const x = toX(Math.max(start, low), view, panel.width);
    const stop = toX(Math.min(end, high), view, panel.width);
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
