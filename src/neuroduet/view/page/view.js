/** The page of `neuroduet view`: one recording, one time axis, panels that share it. */

import { Actions } from "./actions.js";
import { getJson, isAbort, pendingRequests } from "./api.js";
import { clock, drawAxis, drawPauses, inside, toX } from "./axis.js";
import { listenToControls, showClasses, showEdits, showSession } from "./controls.js";
import * as details from "./details.js";
import { listenToKeys } from "./keys.js";
import { Labels } from "./labels.js";
import { Overview } from "./overview.js";
import { cleared, fit, makePanel } from "./panel.js";
import { Player } from "./player.js";
import { listen } from "./pointer.js";
import { Pose } from "./pose.js";
import { Raster } from "./raster.js";
import { Rows } from "./rows.js";
import { readTheme } from "./theme.js";
import { Trace } from "./traces.js";
import { Trials } from "./trials.js";

const FIRST_SPAN_S = 20;
const PATIENCE_MS = 35;
const AGAIN_MS = 1000;
const SHADED = ["raster", "rates", "trace"];
const UNSHADED = ["axis", "overview"];

const at = (id) => document.getElementById(id);

const app = {
  stack: at("stack"), help: at("help"), theme: readTheme(), predictions: true, panels: [],
  session: null, view: { start: 0, end: 1 }, cursor: 0, unit: null, labels: null, pose: null, rows: null,
};
const drawing = { asked: false, timer: 0, last_ms: null, first_ms: null };

app.say = (text) => {
  at("status").textContent = text;
  at("status").classList.remove("wrong");
};

app.failed = (error) => {
  if (isAbort(error)) return;
  at("status").textContent = error.message;
  at("status").classList.add("wrong");
};

/** Do something that asks the server, and say what went wrong. */
app.attempt = async (act) => {
  try {
    await act();
  } catch (error) {
    app.failed(error);
  }
};

app.redraw = () => {
  if (drawing.asked) return;
  drawing.asked = true;
  requestAnimationFrame(draw);
};

/** Something came: draw it, and ask for what is wanted next. */
app.arrived = () => {
  want();
  app.redraw();
};

app.setView = (view) => {
  app.view = inside(view, app.session.whole);
  app.redraw();
  // While the window moves, only where it stays for a moment is asked for.
  clearTimeout(drawing.timer);
  drawing.timer = setTimeout(want, PATIENCE_MS);
};

app.setCursor = (time) => {
  const { start, end } = app.session.whole;
  app.cursor = Math.min(Math.max(time, start), end);
  app.pose?.want(app.cursor, app.player.playing);
  app.redraw();
};

app.step = (frames) => {
  const { pose, actions } = app.session;
  app.setCursor(app.cursor + frames / (pose?.rate_hz ?? actions?.rate_hz ?? 50));
  app.reveal(app.cursor, app.cursor);
};

/** Move the window, keeping its length if possible, so that a stretch is inside. */
app.reveal = (start, end) => {
  const { view } = app;
  if (view.start <= start && end <= view.end) return;
  const span = Math.max(view.end - view.start, 1.5 * (end - start));
  const middle = (start + end) / 2;
  app.setView({ start: middle - span / 2, end: middle + span / 2 });
};

app.hover = (time, words = "") => {
  const said = words ? `${words} · ` : "";
  at("hover").textContent = time === null ? "" : `${said}${clock(time, 0.001)}`;
  place(at("hoverline"), time ?? NaN);
};

app.togglePredictions = () => {
  app.predictions = !app.predictions;
  at("predictions").setAttribute("aria-pressed", String(app.predictions));
  for (const { panel } of app.panels) {
    if (panel.name === "rates") panel.section.hidden = !app.predictions;
  }
  resized();
};

app.showUnit = async (index) => {
  app.unit = index;
  app.redraw();
  const { id, activity } = app.session;
  const unit = await getJson("/api/unit", { id, index });
  if (app.session.id !== id || app.unit !== index) return;
  details.showUnit(at("details"), unit, activity.kind, app.theme);
  if (unit.psth?.waiting) setTimeout(() => app.unit === index && app.attempt(() => app.showUnit(index)), AGAIN_MS);
};

app.nextUnit = (direction) => {
  const units = app.session.activity?.units ?? [];
  const row = units.findIndex(({ index }) => index === app.unit);
  const next = row < 0 ? app.rows?.first ?? 0 : row + direction;
  if (!units[next]) return;
  app.showRows((rows) => rows.reveal(next));
  app.attempt(() => app.showUnit(units[next].index));
};

/** Change which units are shown. */
app.showRows = (change) => {
  if (!app.rows) return;
  change(app.rows);
  relabel();
  app.redraw();
};

function relabel() {
  for (const shown of app.panels) shown.relabel?.();
}

app.selectNothing = () => {
  app.unit = null;
  app.labels?.select(null);
  app.redraw();
};

/** Select a bout and say what is known of it; `move` brings it into the window. */
app.showBout = async (track, stretch, move = true) => {
  const bout = await app.labels.bout(track, stretch.start_frame);
  const chosen = bout.class === null ? { track, ...stretch } : bout;
  app.labels.select(move ? { ...chosen, ...stretch, class: bout.class, track } : chosen);
  if (bout.class !== null) details.showBout(at("details"), bout, track);
  if (!move) return;
  const times = [stretch.start_frame, stretch.end_frame].map((frame) => app.labels.timeOf(frame));
  app.setCursor(times[0]);
  app.reveal(...times);
};

app.labelled = () => {
  // A session that was left may still answer.
  if (!app.labels) return;
  showClasses(app);
  showEdits(app);
  app.redraw();
};

app.focusTime = () => at("time").focus();

app.open = async (id) => {
  app.asked = id;
  const session = await getJson("/api/session", { id }).catch((error) => {
    at("sessions").value = app.session?.id ?? id;
    throw error;
  });
  if (app.asked !== id) return;
  app.player.stop();
  for (const { panel, tiles } of app.panels) {
    tiles?.abort();
    panel.section.remove();
  }
  session.whole = { start: session.start_s, end: session.end_s };
  const rows = session.activity?.units.length ? new Rows(session.activity.units) : null;
  Object.assign(app, { session, rows, unit: null, labels: null, pose: null, cursor: session.start_s });
  app.view = inside({ start: session.start_s, end: session.start_s + FIRST_SPAN_S }, session.whole);
  build(session);
  showSession(app);
  resized();
  app.say("");
  await Promise.all([app.overview.load(), app.labels?.load(), app.pose?.load(0)]);
};

function build(session) {
  if (session.actions) app.labels = new Labels(app);
  app.overview = new Overview(app);
  const axis = { panel: makePanel(app.stack, "axis", "time") };
  axis.draw = (context, view) => drawAxis(context, view, axis.panel.width, axis.panel.height, app.theme);
  app.trials = session.trials.count > 0 ? new Trials(app) : null;
  const shown = [app.overview, axis, app.trials];
  if (app.rows) shown.push(new Raster(app, "raster"));
  if (app.rows && session.activity.predicted) shown.push(new Raster(app, "rates"));
  // The panel of actions shows this behaviour already.
  const traces = session.behaviours.filter(({ name }) => name !== "actions" || !app.labels);
  shown.push(...traces.map((behaviour) => new Trace(app, behaviour)));
  if (app.labels) shown.push(new Actions(app, app.labels));
  if (session.pose) app.pose = new Pose(app, at("pose"), at("animals"));
  app.panels = shown.filter(Boolean);
  for (const one of app.panels) {
    if (one.panel.name === "rates") one.panel.section.hidden = !app.predictions;
    listen(app, one);
  }
}

/** Ask for what the panels need now. */
function want() {
  for (const { panel, tiles } of app.panels) if (!panel.section.hidden) tiles?.want(app.view);
}

function resized() {
  for (const { panel, tiles } of app.panels) {
    fit(panel);
    // Twice as many columns as pixels: a tile may be twice as long as the window.
    if (panel.width > 0) tiles?.resize(Math.min(4000, 2 * Math.round(panel.width)));
  }
  relabel();
  if (app.pose) fit(app.pose.panel);
  want();
  app.redraw();
}

function draw() {
  drawing.asked = false;
  if (!app.session) return;
  const begun = performance.now();
  for (const shown of app.panels) drawPanel(shown);
  if (app.pose) app.pose.draw(cleared(app.pose.panel), app.cursor);
  place(at("cursorline"), app.cursor);
  at("readout").textContent = clock(app.cursor, 0.001);
  drawing.last_ms = performance.now() - begun;
  if (drawing.first_ms === null && complete()) drawing.first_ms = performance.now();
}

function drawPanel(shown) {
  const { panel } = shown;
  if (panel.width === 0 || panel.section.hidden) return;
  const context = cleared(panel);
  context.font = app.theme.font;
  if (app.trials && SHADED.includes(panel.name)) app.trials.drawBehind(context, panel, app.view);
  shown.draw(context, app.view);
  if (!UNSHADED.includes(panel.name)) drawPauses(context, app.view, panel, app);
}

const complete = () =>
  app.panels.every(({ panel, tiles }) => panel.section.hidden || !tiles || tiles.complete(app.view));

/** Put a vertical line across all panels below the overview, or hide it outside the window. */
function place(line, time) {
  const { section, plot, width } = app.panels[1].panel;
  const x = toX(time, app.view, width);
  line.hidden = !(x >= 0 && x <= width);
  const last = app.panels.at(-1).panel.section;
  line.style.transform = `translateX(${plot.offsetLeft + x + 1}px)`;
  line.style.top = `${section.offsetTop}px`;
  line.style.height = `${last.offsetTop + last.offsetHeight - section.offsetTop}px`;
}

function start() {
  app.player = new Player(app, at("play"), at("speed"));
  listenToControls(app);
  listenToKeys(app);
  new ResizeObserver(() => app.session && resized()).observe(app.stack);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    app.theme = readTheme();
    app.redraw();
  });
  window.addEventListener("beforeunload", (event) => {
    if (app.labels?.edits > 0) event.preventDefault();
  });
  app.attempt(async () => {
    const { sessions, first } = await getJson("/api/sessions");
    for (const { id } of sessions) at("sessions").add(new Option(id, id, false, id === first));
    await app.open(first);
  });
}

/*
 * What tests may look at; nothing can be changed through it. Times in s unless the name says ms;
 * first_view_ms counts from the start of navigation to the first frame with everything in it.
 */
window.neuroduetView = Object.freeze({
  get start() { return app.view.start; },
  get end() { return app.view.end; },
  get cursor() { return app.cursor; },
  get session() { return app.session?.id ?? null; },
  get pending() { return pendingRequests(); },
  get complete() { return app.session !== null && complete(); },
  get last_draw_ms() { return drawing.last_ms; },
  get first_view_ms() { return drawing.first_ms; },
  get rows() { return app.rows ? [app.rows.first, app.rows.end] : null; },
  get edits() { return app.labels?.edits ?? 0; },
  get selection() { return app.labels?.selection ? { ...app.labels.selection } : null; },
});

start();
