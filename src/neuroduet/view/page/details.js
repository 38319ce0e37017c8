/** The side panel: one unit or one bout in numbers and small figures. */

import { clock, short } from "./axis.js";
import { element } from "./panel.js";
import { unitName } from "./raster.js";
import { PALETTE } from "./theme.js";

const MARGIN = { left: 38, right: 8, top: 6, bottom: 28 };
const TALL = 112;

const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));

/** Show what /api/unit says. */
export function showUnit(place, unit, kind, theme) {
  const traced = kind === "traces";
  const measured = (value, digits, name) => (value === null ? "–" : `${number(value, digits)} ${name}`);
  const rows = [
    ["region", unit.region || "–"],
    ["depth", measured(unit.depth_um, 0, "µm")],
    ["rate", measured(unit.rate_hz, 2, "Hz")],
  ];
  if (unit.score !== null) rows.push([traced ? "R²" : "bits/spike", number(unit.score, 3)]);
  place.replaceChildren(heading(unitName(unit.id)), facts(rows));
  const { rate_over_time: rate, isi_ms: isi, psth } = unit;
  const yLabel = traced ? "" : "Hz";
  if (psth) {
    const lines = [{ y: psth.true, shade: theme.ink, name: "recorded" }];
    if (psth.predicted) lines.push({ y: psth.predicted, shade: PALETTE[0], dash: [5, 3], name: "predicted" });
    const later = psth.waiting ? "; predictions are being read" : "";
    const which = [psth.n_trials, psth.split, psth.n_trials === 1 ? "trial" : "trials"].filter(Boolean).join(" ");
    chart(place, theme, `PSTH, ${which}${later}`, psth.time_s, lines, ["time in the trial (s)", yLabel]);
  }
  if (rate) {
    const lines = [{ y: rate.hz, shade: theme.ink }];
    chart(place, theme, traced ? "Mean" : "Rate", rate.time_s, lines, ["time", yLabel], (at) => clock(at, 1));
  }
  if (isi) {
    const middles = isi.counts.map((_, i) => (isi.edges[i] + isi.edges[i + 1]) / 2);
    const bars = [{ y: isi.counts, shade: PALETTE[0], bars: true }];
    chart(place, theme, "Intervals between spikes", middles, bars, ["ms", "count"]);
  }
}

/** Show what /api/bout says of a bout of labels or of predictions. */
export function showBout(place, bout, track) {
  const length = bout.end - bout.start;
  place.replaceChildren(
    heading(`${track === "true" ? "Labelled" : "Predicted"} bout: ${bout.class ?? "unlabelled"}`),
    facts([
      ["from", clock(bout.start)],
      ["to", clock(bout.end)],
      ["duration", `${number(length, 3)} s`],
      ["frames", `${bout.start_frame}–${bout.end_frame - 1}`],
      ["probability", number(bout.mean_probability, 3)],
      ["before", bout.previous ?? "–"],
      ["after", bout.next ?? "–"],
    ]),
  );
}

const heading = (text) => element("h2", { textContent: text });

function facts(pairs) {
  const list = element("dl", {});
  for (const [name, value] of pairs) {
    list.append(element("dt", { textContent: name }), element("dd", { textContent: value, title: value }));
  }
  return list;
}

/** A small figure; its caption names it for screen readers too. */
function chart(place, theme, title, x, lines, [xLabel, yLabel], said = short) {
  const canvas = element("canvas", {});
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${title}, ${yLabel} over ${xLabel}`);
  const caption = element("figcaption", { textContent: title });
  for (const { name, shade } of lines.filter((line) => line.name)) {
    const swatch = element("i", {});
    swatch.style.background = shade;
    caption.append(element("span", {}, swatch, name));
  }
  place.append(element("figure", {}, caption, canvas));
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  Object.assign(canvas, { width: width * ratio, height: TALL * ratio });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  drawChart(context, theme, { x, lines, xLabel, yLabel, width, said });
}

function drawChart(context, theme, { x, lines, xLabel, yLabel, width, said }) {
  const known = lines.flatMap(({ y }) => y).filter((value) => value !== null);
  const top = Math.max(...known, 0) || 1;
  const low = Math.min(...known, 0);
  // The values stand for bins, and the axis ends where the bins do.
  const half = x.length > 1 ? (x[1] - x[0]) / 2 : 0.5;
  const [first, last] = [(x[0] ?? 0) - half, (x.at(-1) ?? 1) + half];
  const toX = (value) =>
    MARGIN.left + ((value - first) / (last - first || 1)) * (width - MARGIN.left - MARGIN.right);
  const toY = (value) =>
    MARGIN.top + (1 - (value - low) / (top - low)) * (TALL - MARGIN.top - MARGIN.bottom);
  drawFrame(context, theme, { toX, toY, first, last, low, top, xLabel, yLabel, width, said });
  for (const { y, shade, dash, bars } of lines) {
    context.fillStyle = shade;
    context.strokeStyle = shade;
    context.lineWidth = 1.4;
    context.setLineDash(dash ?? []);
    if (bars) {
      const wide = (width - MARGIN.left - MARGIN.right) / x.length;
      y.forEach((value, i) =>
        context.fillRect(MARGIN.left + i * wide, toY(value), Math.max(wide - 0.5, 0.5), toY(0) - toY(value)));
      continue;
    }
    context.beginPath();
    y.forEach((value, i) => {
      if (value === null) return;
      const joined = i > 0 && y[i - 1] !== null;
      // A value between two gaps is a dot.
      if (!joined) context.moveTo(toX(x[i]) - 0.5, toY(value));
      context.lineTo(toX(x[i]), toY(value));
    });
    context.stroke();
  }
}

function drawFrame(context, theme, { toX, toY, first, last, low, top, xLabel, yLabel, width, said }) {
  context.font = theme.font;
  context.strokeStyle = theme.line;
  context.beginPath();
  context.moveTo(MARGIN.left, toY(top));
  context.lineTo(MARGIN.left, toY(low));
  context.lineTo(width - MARGIN.right, toY(low));
  if (first < 0 && last > 0) {
    context.moveTo(toX(0), toY(top));
    context.lineTo(toX(0), toY(low));
  }
  context.stroke();
  context.fillStyle = theme.soft;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillText(short(top, top - low), MARGIN.left - 4, toY(top) + 3);
  context.fillText(short(low, top - low), MARGIN.left - 4, toY(low) - 2);
  context.fillText(yLabel, MARGIN.left - 4, (toY(top) + toY(low)) / 2);
  context.textBaseline = "top";
  context.fillText(said(last, last - first), width - MARGIN.right, TALL - MARGIN.bottom + 5);
  context.textAlign = "left";
  context.fillText(said(first, last - first), MARGIN.left, TALL - MARGIN.bottom + 5);
  context.textAlign = "center";
  context.fillText(xLabel, (MARGIN.left + width - MARGIN.right) / 2, TALL - MARGIN.bottom + 15);
}
