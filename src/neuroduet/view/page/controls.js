/** Buttons, boxes and lists around the panels. */

import { clock, moved, parseTime, zoomed } from "./axis.js";
import { element } from "./panel.js";
import { colour } from "./theme.js";

/** Letters of a class and its counts that fit into half of the side panel. */
const ROOM = 10;

const at = (id) => document.getElementById(id);

/** Answer the buttons from now on. */
export function listenToControls(app) {
  const zoom = (factor) => () => {
    const { start, end } = app.view;
    if (app.session) app.setView(zoomed(app.view, (start + end) / 2, factor));
  };
  const press = (id, act) => at(id).addEventListener("click", act);
  press("in", zoom(0.5));
  press("out", zoom(2));
  press("fit", () => app.session && app.setView(app.session.whole));
  press("predictions", () => app.togglePredictions());
  press("ask", () => app.help.showModal());
  press("undo", () => app.attempt(() => app.labels.undo()));
  press("save", () => app.attempt(() => app.labels.save()));
  at("sessions").addEventListener("change", () => app.attempt(() => app.open(at("sessions").value)));
  at("go").addEventListener("submit", (event) => {
    event.preventDefault();
    goTo(app);
  });
  at("newclass").addEventListener("submit", (event) => {
    event.preventDefault();
    app.attempt(async () => {
      await app.labels.addClass(at("classname").value.trim());
      at("classname").value = "";
    });
  });
}

/** Bring the time that was typed into the middle of the window. */
function goTo(app) {
  const time = parseTime(at("time").value);
  if (Number.isNaN(time)) {
    app.failed(new Error(`'${at("time").value}' is not a time; give seconds, or minutes:seconds`));
    return;
  }
  const { start, end } = app.view;
  app.setCursor(time);
  app.setView(moved(app.view, app.cursor - (start + end) / 2));
  at("time").blur();
  app.say(`at ${clock(app.cursor)}`);
}

/** Show or hide what a session has. */
export function showSession(app) {
  const { session } = app;
  const predicted = [session.activity, session.actions, ...session.behaviours];
  at("predictions").hidden = !predicted.some((one) => one?.predicted);
  at("posecard").hidden = !session.pose;
  // Without activity there is room for a large skeleton below the actions.
  if (session.activity) at("side").prepend(at("posecard"));
  else at("stack").append(at("posecard"));
  at("classcard").hidden = !session.actions;
  at("newclass").hidden = session.read_only;
  at("editing").hidden = !session.actions || session.read_only;
  at("details").replaceChildren(...notes(session).map((textContent) =>
    element("p", { className: "soft", textContent })));
  document.title = `${session.id} · neuroduet view`;
  if (app.labels) showEdits(app);
}

/** What can be done with a session, and which command shows what it lacks. */
function notes(session) {
  const { activity, actions, behaviours } = session;
  const found = ["Click on a unit or a bout to look into it."];
  if (actions?.problem) found.push(`These labels cannot be changed: ${actions.problem}.`);
  else if (actions && actions.classes.length === 0) {
    found.push("No labels yet: add a class above, drag over frames, press its number.");
  }
  if (actions && !actions.predicted) {
    found.push("No predicted actions: `neuroduet actions predict MODEL --data DIR --write-back` adds them.");
  }
  if (activity && ![activity, ...behaviours].some(({ predicted }) => predicted)) {
    const remedy = session.of_run ? "this run made none of this session" : "`neuroduet view RUN --data DIR` shows those of a run";
    found.push(`No predictions of activity: ${session.hint ? `\`${session.hint}\` makes them` : remedy}.`);
  }
  return found;
}

/** List the classes with their keys and how many bouts each has. */
export function showClasses(app) {
  const { about, truth, predicted, thinned } = app.labels;
  const rows = about.classes.map((name, i) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = colour(i);
    const own = (bouts) => bouts.filter((bout) => bout.class === name).length;
    const numbers = about.predicted ? `${own(truth)} / ${own(predicted)}` : `${own(truth)}`;
    const counts = thinned ? `≈ ${numbers}` : numbers;
    return row(app, { key: i < 9 ? String(i + 1) : "", swatch, name, counts, choice: name });
  });
  const none = element("span", { className: "swatch none" });
  if (!app.session.read_only) {
    rows.push(row(app, { key: "0", swatch: none, name: "unlabelled", counts: "", choice: null }));
  }
  at("classes").classList.toggle("wide", rows.some((one) => one.textContent.length > ROOM));
  at("classes").replaceChildren(...rows);
}

function row(app, { key, swatch, name, counts, choice }) {
  const { about, thinned } = app.labels;
  const bouts = about.predicted ? "labelled / predicted bouts" : "labelled bouts";
  const title = thinned ? `${bouts}; counts are approximate, there are very many` : bouts;
  const count = element("span", { className: "count", textContent: counts, title });
  const button = element(
    "button", { type: "button", className: "class", disabled: app.session.read_only },
    key ? element("kbd", { textContent: key }) : element("span", {}),
    swatch, element("span", { className: "name", textContent: name }), count,
  );
  button.addEventListener("click", () => app.attempt(() => app.labels.setClass(choice)));
  return button;
}

/** Say how many corrections are not saved. */
export function showEdits(app) {
  const { edits } = app.labels;
  at("edits").textContent = edits === 0 ? "all saved" : `${edits} unsaved`;
  at("edits").classList.toggle("some", edits > 0);
  at("undo").disabled = edits === 0;
}
