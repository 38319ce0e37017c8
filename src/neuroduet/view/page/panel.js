/** A panel: what it shows in words on the left, a drawing of the shared window on the right. */

/**
 * Add a panel to the stack.
 * @param {HTMLElement} stack Where to.
 * @param {string} name Identifier; the style sheet gives its height.
 * @param {string} label What a screen reader says of the drawing.
 * @returns {{name: string, section: HTMLElement, gutter: HTMLElement, canvas: HTMLCanvasElement}}
 */
export function makePanel(stack, name, label) {
  const section = element("section", { className: `panel panel-${name}` });
  const gutter = element("div", { className: "gutter" });
  const canvas = element("canvas", {});
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const plot = element("div", { className: "plot" }, canvas);
  section.append(gutter, plot);
  stack.append(section);
  return { name, section, gutter, canvas, plot, width: 0, height: 0 };
}

/** Give a panel's canvas as many pixels as the screen has there. */
export function fit(panel) {
  const { clientWidth, clientHeight } = panel.plot;
  const ratio = window.devicePixelRatio || 1;
  Object.assign(panel, { width: clientWidth, height: clientHeight, ratio });
  const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  if (panel.canvas.width !== width) panel.canvas.width = width;
  if (panel.canvas.height !== height) panel.canvas.height = height;
}

/** An empty drawing in units of the style sheet's pixels. */
export function cleared(panel) {
  const context = panel.canvas.getContext("2d");
  context.setTransform(panel.ratio, 0, 0, panel.ratio, 0, 0);
  context.clearRect(0, 0, panel.width, panel.height);
  return context;
}

/** A new element; names from files go through its textContent only. */
export function element(kind, properties, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

/** A number of things in words. */
export const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
