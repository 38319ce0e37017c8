/** Labels of the actions: what is selected, how it is corrected, undone and saved. */

import { getJson, post } from "./api.js";
import { firstAfter, shownSegments } from "./segments.js";
import { Tiles } from "./tiles.js";

const COLUMNS = 4000;
const FIRST_REACH_S = 60;

/**
 * Stretches where both say something and not the same.
 * @param {{start_frame: number, end_frame: number, class: string}[]} truth In order of time.
 * @param {{start_frame: number, end_frame: number, class: string}[]} predicted The same.
 * @returns {{start_frame: number, end_frame: number, class: string}[]} Neighbouring stretches
 *   joined; the class is the label's at their start.
 */
export function disagreements(truth, predicted) {
  const found = [];
  for (let i = 0, j = 0; i < truth.length && j < predicted.length;) {
    const [one, other] = [truth[i], predicted[j]];
    const start_frame = Math.max(one.start_frame, other.start_frame);
    const end_frame = Math.min(one.end_frame, other.end_frame);
    if (start_frame < end_frame && one.class !== other.class) {
      if (found.at(-1)?.end_frame === start_frame) found.at(-1).end_frame = end_frame;
      else found.push({ start_frame, end_frame, class: one.class });
    }
    if (one.end_frame <= other.end_frame) i += 1;
    else j += 1;
  }
  return found;
}

export class Labels {
  /** @param {object} app What all panels share. */
  constructor(app) {
    this.app = app;
    this.about = app.session.actions;
    this.selection = null;
    this.edits = this.about.edits;
    this.truth = [];
    this.predicted = [];
    this.thinned = false;
    this.tiles = new Tiles(
      (start, end, columns, signal) => this.fetch(start, end, columns, signal),
      app.session.whole, app.arrived, app.failed,
    );
  }

  fetch(start, end, columns, signal) {
    return getJson("/api/actions", { id: this.app.session.id, start, end, columns }, signal);
  }

  /** Fetch the bouts of the whole recording, for the overview and the counts of the classes. */
  async load() {
    const { start, end } = this.app.session.whole;
    const answer = await this.fetch(start, end, COLUMNS);
    this.truth = answer.true;
    this.predicted = answer.predicted ?? [];
    this.thinned = answer.thinned;
    this.app.labelled();
  }

  /** Bouts of the shown window; a bout that lies in two tiles comes once. */
  visible(track) {
    return shownSegments(this.tiles.pieces(this.app.view), track);
  }

  /** Frames whose times are known: cameras drop frames, so counting from the start would drift. */
  anchors() {
    const bouts = [...this.visible("true"), ...this.visible("predicted")];
    const known = bouts.flatMap(({ start, end, start_frame, end_frame }) =>
      [{ time: start, frame: start_frame }, { time: end, frame: end_frame }]);
    return [{ time: this.about.first_s, frame: 0 }, ...known].sort((one, other) => one.time - other.time);
  }

  timeOf(frame) {
    const anchor = this.anchors().findLast((one) => one.frame <= frame);
    return anchor.time + (frame - anchor.frame) / this.about.rate_hz;
  }

  /** The boundary between frames that is nearest to a time. */
  frameAt(time) {
    const anchors = this.anchors();
    const anchor = anchors.findLast((one) => one.time <= time) ?? anchors[0];
    const frame = anchor.frame + Math.round((time - anchor.time) * this.about.rate_hz);
    return Math.min(Math.max(frame, 0), this.about.frames);
  }

  segmentAt(track, time) {
    const segments = this.visible(track);
    const found = segments[firstAfter(segments, time)];
    return found && found.start <= time ? found : null;
  }

  select(selection) {
    this.selection = selection;
    this.app.redraw();
  }

  /** What the server knows of the bout at a frame: exact even where the window shows too many. */
  async bout(track, frame) {
    return { track, ...await getJson("/api/bout", { id: this.app.session.id, frame, track }) };
  }

  /** Give the selected frames a class; null takes it away. */
  async setClass(name) {
    if (!this.selection) {
      return this.app.say("select a bout first, or drag across the row of labels");
    }
    const { start_frame, end_frame } = this.selection;
    await this.change(start_frame, end_frame, name);
    return this.select({ track: "true", start_frame, end_frame, class: name });
  }

  async change(start_frame, end_frame, name) {
    if (this.app.session.read_only) throw new Error("these labels cannot be changed");
    const { id } = this.app.session;
    const answer = await post("/api/labels", { id }, { start_frame, end_frame, class: name });
    const frames = `frames ${start_frame} to ${end_frame - 1}`;
    this.app.say(name === null ? `${frames} are unlabelled now` : `${frames} are ${name} now`);
    await this.changed(answer.edits);
  }

  async changed(edits) {
    this.edits = edits;
    this.app.labelled();
    this.tiles.refresh();
    this.app.arrived();
    await this.load();
  }

  /** Move one end of the selected bout; what it leaves goes to the bout that touched it there. */
  async moveEdge(side, frame) {
    const { start_frame, end_frame, class: name } = this.selection;
    const atStart = side === "start";
    const old = atStart ? start_frame : end_frame;
    const kept = { start_frame: atStart ? frame : start_frame, end_frame: atStart ? end_frame : frame };
    if (frame === old || kept.start_frame >= kept.end_frame) return this.app.redraw();
    const grows = atStart === frame < old;
    const touching = this.visible("true").find((one) =>
      (atStart ? one.end_frame === start_frame : one.start_frame === end_frame));
    const given = grows ? name : (touching?.class ?? null);
    await this.change(Math.min(old, frame), Math.max(old, frame), given);
    return this.select({ track: "true", ...kept, class: name });
  }

  /** Take the predicted bout that is selected, or at the cursor, as a label. */
  async accept() {
    const { predicted } = this.about;
    if (!predicted) return this.app.say("this recording has no predicted actions");
    const chosen = this.selection?.track === "predicted" ? this.selection.start_frame : null;
    const bout = await this.bout("predicted", chosen ?? this.frameBefore(this.app.cursor));
    if (bout.class === null) return this.app.say("there is no predicted bout at the cursor");
    await this.change(bout.start_frame, bout.end_frame, bout.class);
    return this.select({ ...bout, track: "true" });
  }

  /** The frame that lasts at a time. */
  frameBefore(time) {
    // A hair less than half a frame: its own start belongs to a frame however it was rounded.
    return Math.min(this.frameAt(time - 0.49 / this.about.rate_hz), this.about.frames - 1);
  }

  async addClass(name) {
    await post("/api/classes", { id: this.app.session.id }, { name });
    this.about.classes.push(name);
    this.app.labelled();
    this.app.say(`${name} can be chosen now`);
  }

  async undo() {
    if (this.edits === 0) return this.app.say("there is nothing to undo");
    const answer = await post("/api/undo", { id: this.app.session.id });
    this.select(null);
    this.app.say(`undone; ${answer.edits} unsaved`);
    return this.changed(answer.edits);
  }

  async save() {
    const answer = await post("/api/save", { id: this.app.session.id });
    this.edits = 0;
    this.app.labelled();
    this.app.say(`saved ${answer.frames} labelled frames in ${answer.bouts} bouts to ${answer.path}`);
  }

  /** Select the next bout after the cursor, or with -1 the one before. */
  async jumpToBout(direction) {
    const track = this.truth.length > 0 ? "true" : "predicted";
    const found = await this.search((answer) => answer[track] ?? [], direction);
    if (!found) return this.app.say("there are no more bouts");
    return this.app.showBout(track, found);
  }

  /** Select the next (or previous) stretch where label and prediction differ. */
  async jumpToDifference(direction) {
    const differing = (answer) => disagreements(answer.true, answer.predicted ?? []);
    const found = await this.search(differing, direction);
    if (!found) return this.app.say("label and prediction do not differ further on");
    return this.app.showBout("true", found);
  }

  /** The first stretch beyond the cursor that some bouts give, looked for further and further. */
  async search(stretches, direction) {
    const { whole } = this.app.session;
    const here = this.selection?.start_frame ?? this.frameBefore(this.app.cursor);
    // With nothing selected, the bout that begins under the cursor comes first.
    const least = this.selection ? here + 1 : here;
    const origin = this.timeOf(here);
    for (let reach = FIRST_REACH_S; ; reach *= 4) {
      const start = direction > 0 ? origin : Math.max(whole.start, origin - reach);
      const end = direction > 0 ? Math.min(whole.end, origin + reach) : origin;
      if (start >= end) return null;
      const found = stretches(await this.fetch(start, end, COLUMNS));
      const next = direction > 0
        ? found.find((one) => one.start_frame >= least)
        : found.findLast((one) => one.start_frame < here);
      if (next) return next;
      if (direction > 0 ? end >= whole.end : start <= whole.start) return null;
    }
  }
}
