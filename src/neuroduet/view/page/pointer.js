/** Mouse, touch and wheel on the panels: drag to pan, wheel or pinch to zoom. */

import { moved, toTime, zoomed } from "./axis.js";

const STILL = 4;
const WHEEL = 0.0016;

/**
 * Let a panel answer the pointer.
 * @param {object} app What all panels share.
 * @param {object} shown A panel's owner; it may offer grab, click, hover and cursor.
 */
export function listen(app, shown) {
  const { canvas, plot } = shown.panel;
  const fingers = new Map();
  let drag = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    const [x, y] = at(event);
    if (fingers.size === 2) drag = pinch(app, shown, fingers);
    else drag = { ...(shown.grab?.(x, y) ?? pan(app, shown, x, y)), x, y, still: true };
  });
  plot.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, [x, y]);
    if (!drag) {
      plot.style.cursor = shown.cursor?.(x, y) ?? "";
      const time = toTime(x, shown.whole ?? app.view, shown.panel.width);
      app.hover(time, shown.hover?.(x, y) ?? "");
      return;
    }
    drag.still &&= Math.hypot(x - drag.x, y - drag.y) < STILL;
    if (!drag.still) drag.move(x, y);
  });
  plot.addEventListener("pointerup", (event) => {
    if (!fingers.delete(event.pointerId) || !drag) return;
    drag.drop(at(event)[0], drag.still);
    drag = null;
  });
  plot.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    drag = null;
  });
  plot.addEventListener("pointerleave", () => app.hover(null));
  plot.addEventListener("wheel", (event) => wheel(app, shown, event, at(event)), { passive: false });
}

function pan(app, shown, x, y) {
  const { view } = app;
  const perPixel = (view.end - view.start) / shown.panel.width;
  const moveRows = shown.dragRows?.();
  return {
    move: (to, down) => {
      app.setView(moved(view, (x - to) * perPixel));
      moveRows?.(down - y);
    },
    drop: (to, clicked) => {
      if (!clicked) return;
      app.setCursor(toTime(x, app.view, shown.panel.width));
      shown.click?.(x, y);
    },
  };
}

/** Two fingers: the times under them stay under them. */
function pinch(app, shown, fingers) {
  const { width } = shown.panel;
  const ends = () => [...fingers.values()].map(([x]) => x).sort((one, other) => one - other);
  const [first, last] = ends().map((x) => toTime(x, app.view, width));
  const move = () => {
    const [left, right] = ends();
    const perPixel = (last - first) / Math.max(right - left, 10);
    const start = first - left * perPixel;
    app.setView({ start, end: start + width * perPixel });
  };
  return { x: 0, y: 0, still: false, move, drop: () => {} };
}

function wheel(app, shown, event, [x, y]) {
  event.preventDefault();
  const { view } = app;
  const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
  if (event.altKey && shown.zoomRows) {
    shown.zoomRows(y, Math.exp(event.deltaY * unit * WHEEL));
    return;
  }
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    app.setView(moved(view, (sideways * unit * (view.end - view.start)) / shown.panel.width));
    return;
  }
  // A pinch on a touch pad comes as a wheel with Ctrl, in smaller steps.
  const factor = Math.exp(event.deltaY * unit * (event.ctrlKey ? 6 : 1) * WHEEL);
  const time = shown.whole ? (view.start + view.end) / 2 : toTime(x, view, shown.panel.width);
  app.setView(zoomed(view, time, factor));
}
