/** Trials: a strip with their split, and faint bands behind every panel. */

import { getJson } from "./api.js";
import { toTime, toX } from "./axis.js";
import { counted, element, makePanel } from "./panel.js";
import { firstAfter } from "./segments.js";
import { splitColour } from "./theme.js";
import { Tiles } from "./tiles.js";

export class Trials {
  /** @param {object} app What all panels share. */
  constructor(app) {
    this.app = app;
    this.panel = makePanel(app.stack, "trials", "trials over time");
    const text = counted(app.session.trials.count, "trial");
    this.panel.gutter.append(element("div", { className: "title", textContent: text }));
    this.tiles = new Tiles(
      async (start, end, columns, signal) =>
        (await getJson("/api/trials", { id: app.session.id, start, end }, signal)).trials,
      app.session.whole, app.arrived, app.failed,
    );
  }

  /** Trials of a view; one that lies in two tiles comes twice. */
  visible(view) {
    return this.tiles.pieces(view).flatMap(({ tile, from, to }) =>
      tile.data.filter(({ start, end }) => end > from && start < to));
  }

  draw(context, view) {
    const { width, height } = this.panel;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const trial of distinct(this.visible(view))) {
      const x = Math.max(0, toX(trial.start, view, width));
      const end = Math.min(width, toX(trial.end, view, width));
      if (end < 0 || x > width) continue;
      const wide = Math.max(1, end - x - 1);
      context.fillStyle = splitColour(trial.split);
      context.globalAlpha = 0.45;
      context.fillRect(x, 1, wide, height - 2);
      context.globalAlpha = 1;
      const words = this.names(trial).find((text) => context.measureText(text).width + 8 <= wide);
      if (!words) continue;
      context.fillStyle = this.app.theme.ink;
      context.fillText(words, x + 4, height / 2 + 0.5);
    }
  }

  /** What may be written on a trial, the longest first. */
  names({ index, split, label }) {
    const short = [`${index} ${split ?? ""}`.trim(), String(index)];
    return label ? [`${short[0]} · ${label.replaceAll("_", " ")}`, ...short] : short;
  }

  /** Shade the trials behind another panel. */
  drawBehind(context, panel, view) {
    context.globalAlpha = 0.09;
    for (const trial of distinct(this.visible(view))) {
      const x = toX(trial.start, view, panel.width);
      const wide = toX(trial.end, view, panel.width) - x;
      // Bands narrower than this would only be a grey veil.
      if (wide < 3) continue;
      context.fillStyle = splitColour(trial.split);
      context.fillRect(x, 0, wide, panel.height);
    }
    context.globalAlpha = 1;
  }

  /** Bring the next, or the previous, test trial into the window. */
  async jumpToTest(which) {
    const { session, cursor } = this.app;
    const { trial } = await getJson("/api/test_trial", { id: session.id, which, time: cursor });
    if (this.app.session !== session) return;
    if (!trial) {
      this.app.say(`there is no ${which} test trial`);
      return;
    }
    this.app.setCursor(trial.start);
    this.app.reveal(trial.start, trial.end);
  }

  hover(x) {
    const time = toTime(x, this.app.view, this.panel.width);
    const trials = distinct(this.visible(this.app.view));
    const trial = trials[firstAfter(trials, time)];
    if (!trial || trial.start > time) return "";
    return ["trial", ...this.names(trial).slice(0, 1)].join(" ");
  }
}

const distinct = (trials) => [...new Map(trials.map((trial) => [trial.index, trial])).values()];
