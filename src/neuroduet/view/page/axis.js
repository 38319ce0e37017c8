/** Time and where it stands: every panel shows the same window of the recording. */

/** Shortest window (s): a few samples of any recording. */
const SHORTEST_S = 0.02;

/**
 * A window moved or resized so that it lies inside the recording.
 * @param {{start: number, end: number}} view Wished window (s).
 * @param {{start: number, end: number}} whole The recording (s).
 * @returns {{start: number, end: number}}
 */
export function inside(view, whole) {
  const length = whole.end - whole.start;
  const span = Math.min(Math.max(view.end - view.start, Math.min(SHORTEST_S, length)), length);
  const middle = (view.start + view.end) / 2;
  const start = Math.min(Math.max(middle - span / 2, whole.start), whole.end - span);
  return { start, end: start + span };
}

/** Window after zooming by `factor` (below 1: closer) while `time` keeps its place. */
export const zoomed = (view, time, factor) => ({
  start: time - (time - view.start) * factor,
  end: time + (view.end - time) * factor,
});

export const moved = (view, by) => ({ start: view.start + by, end: view.end + by });

export const toX = (time, view, width) => ((time - view.start) / (view.end - view.start)) * width;

export const toTime = (x, view, width) => view.start + (x / width) * (view.end - view.start);

/** Round times between marks so that about `room` pixels lie between two of them. */
export function stepFor(span, width, room = 90) {
  const least = (span * room) / width;
  const ladder = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];
  if (least > 1) return ladder.find((step) => step >= least) ?? ladder.at(-1);
  const ten = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((step) => step * ten).find((step) => step >= least * 0.9999);
}

/** A time as people write it: 12.35 s, or 1:02:03 once the recording is longer than a minute. */
export function clock(time, step = 0.001) {
  const digits = Math.max(0, Math.min(4, -Math.floor(Math.log10(step) + 1e-9)));
  const sign = time < -step / 2 ? "−" : "";
  const size = Number(Math.abs(time).toFixed(digits));
  const seconds = (size % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  const minutes = Math.floor(size / 60) % 60;
  const hours = Math.floor(size / 3600);
  if (!hours) return `${sign}${minutes}:${seconds}`;
  return `${sign}${hours}:${String(minutes).padStart(2, "0")}:${seconds}`;
}

/**
 * A number in three digits, or as many more as tell it from its neighbours.
 * @param {number} value The number.
 * @param {number} span How far apart such numbers lie; what rounding leaves of nothing is 0.
 */
export function short(value, span = 0) {
  if (Math.abs(value) < span / 1000) return "0";
  const more = span > 0 ? Math.floor(Math.log10(Math.abs(value) / span)) : 0;
  return String(Number(value.toPrecision(3 + Math.min(Math.max(more, 0), 6))));
}

/** Seconds of "75", "1:15" or "0:01:15.5"; NaN for anything else. */
export function parseTime(text) {
  const parts = text.trim().replace(",", ".").replace("−", "-").split(":");
  if (parts.length > 3 || parts.some((part) => !/^-?\d+(\.\d*)?$/.test(part))) return NaN;
  const sign = parts[0].startsWith("-") ? -1 : 1;
  return sign * parts.reduce((sum, part) => sum * 60 + Math.abs(Number(part)), 0);
}

/** Draw marks and times along the bottom of the axis panel. */
export function drawAxis(context, view, width, height, theme) {
  const step = stepFor(view.end - view.start, width);
  context.fillStyle = theme.soft;
  context.font = theme.font;
  context.textBaseline = "middle";
  for (let i = Math.ceil(view.start / step); i * step <= view.end; i += 1) {
    const x = Math.round(toX(i * step, view, width));
    context.fillRect(x, height - 5, 1, 5);
    context.textAlign = x < 24 ? "left" : x > width - 24 ? "right" : "center";
    context.fillText(clock(i * step, step), x, (height - 5) / 2);
  }
}

/** Cover the time in which nothing was recorded. */
export function drawPauses(context, view, { width, height }, { session, theme }) {
  const { recorded } = session;
  context.fillStyle = theme.track;
  recorded.slice(1).forEach(([next], i) => {
    const [x, end] = [recorded[i][1], next].map((time) => toX(time, view, width));
    if (end - x > 1 && x < width && end > 0) context.fillRect(x, 0, end - x, height);
  });
}
