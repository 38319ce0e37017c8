/** The keyboard: one table says what every key does, and the help shows it. */

import { moved, zoomed } from "./axis.js";
import { element } from "./panel.js";

const span = (app) => app.view.end - app.view.start;

const middle = (app) => (app.view.start + app.view.end) / 2;

const zoom = (factor) => (app) => app.setView(zoomed(app.view, middle(app), factor));

const shift = (share) => (app) => app.setView(moved(app.view, share * span(app)));

const edit = (act) => (app) => {
  if (app.labels) app.attempt(() => act(app.labels, app));
};

/** Keys as the event names them, what they do in words, and the doing. */
const KEYS = [
  [["+", "="], "zoom in", zoom(0.5)],
  [["-", "_"], "zoom out", zoom(2)],
  [["ArrowLeft"], "earlier", shift(-0.2)],
  [["ArrowRight"], "later", shift(0.2)],
  [["Shift+ArrowLeft", "PageUp"], "a window earlier", shift(-1)],
  [["Shift+ArrowRight", "PageDown"], "a window later", shift(1)],
  [["Home"], "to the start", (app) => app.setView(moved(app.view, app.session.whole.start - app.view.start))],
  [["End"], "to the end", (app) => app.setView(moved(app.view, app.session.whole.end - app.view.end))],
  [["f"], "show the whole recording", (app) => app.setView(app.session.whole)],
  [["g"], "go to a time", (app) => app.focusTime()],
  [[" "], "play, pause", (app) => app.player.toggle()],
  [[","], "a frame back", (app) => app.step(-1)],
  [["."], "a frame on", (app) => app.step(1)],
  [["p"], "predictions on, off", (app) => app.togglePredictions()],
  [["["], "unit above", (app) => app.nextUnit(-1)],
  [["]"], "unit below", (app) => app.nextUnit(1)],
  [["r"], "one region after the other, then all", (app) => app.showRows((rows) => rows.next())],
  [["ArrowUp"], "units further up", (app) => app.showRows((rows) => rows.move(-0.25))],
  [["ArrowDown"], "units further down", (app) => app.showRows((rows) => rows.move(0.25))],
  [["t"], "next test trial", (app) => app.trials && app.attempt(() => app.trials.jumpToTest("next"))],
  [["T", "Shift+T"], "previous test trial", (app) => app.trials && app.attempt(() => app.trials.jumpToTest("previous"))],
  [["n"], "next bout", edit((labels) => labels.jumpToBout(1))],
  [["N", "Shift+N"], "previous bout", edit((labels) => labels.jumpToBout(-1))],
  [["d"], "next disagreement of label and prediction", edit((labels) => labels.jumpToDifference(1))],
  [["D", "Shift+D"], "previous disagreement", edit((labels) => labels.jumpToDifference(-1))],
  [["a"], "accept the predicted bout as label", edit((labels) => labels.accept())],
  [[..."123456789"], "selection gets this class", (app, key) => classKey(app, key)],
  [["0", "Delete", "Backspace"], "selection is unlabelled", edit((labels) => labels.setClass(null))],
  [["Escape"], "select nothing", (app) => app.selectNothing()],
  [["Ctrl+z"], "undo the last correction", edit((labels) => labels.undo())],
  [["Ctrl+s"], "save the labels", edit((labels) => labels.save())],
  [["?"], "this help", (app) => app.help.showModal()],
];

const WORDS = {
  " ": "Space", 1: "1–9", "0": "0, Delete", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", "Shift+ArrowLeft": "Shift ←",
  "Shift+ArrowRight": "Shift →", "Ctrl+z": "Ctrl Z", "Ctrl+s": "Ctrl S", N: "Shift N", D: "Shift D", T: "Shift T",
};

/** Answer the keyboard from now on. */
export function listenToKeys(app) {
  window.addEventListener("keydown", (event) => {
    const name = nameOf(event);
    const on = (kinds) => event.target instanceof Element && event.target.matches(kinds);
    // A list keeps the keys that move through it.
    const listed = on("select") && /^(Arrow|Page|Home|End|Enter| )/.test(event.key);
    const typing = listed || on("input, textarea");
    if (typing && name === "Escape") event.target.blur();
    if ((typing && name !== "Ctrl+s") || app.help.open || !app.session) return;
    // Space and Enter on a button press it.
    if (on("button, summary") && event.key === " ") return;
    const act = KEYS.find(([keys]) => keys.includes(name))?.[2];
    if (!act) return;
    event.preventDefault();
    act(app, name);
  });
  fillHelp(app.help);
}

function nameOf(event) {
  if (event.altKey) return "";
  if (event.ctrlKey || event.metaKey) return `Ctrl+${event.key.toLowerCase()}`;
  return event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key;
}

function classKey(app, key) {
  const chosen = app.labels?.about.classes[Number(key) - 1];
  if (chosen !== undefined) app.attempt(() => app.labels.setClass(chosen));
}

function fillHelp(dialog) {
  const rows = KEYS.map(([keys, words]) => [keys[0] in WORDS ? WORDS[keys[0]] : keys[0], words]);
  const list = dialog.querySelector("dl");
  for (const [key, words] of rows) {
    list.append(
      element("dt", {}, element("kbd", { textContent: key })), element("dd", { textContent: words }),
    );
  }
}
