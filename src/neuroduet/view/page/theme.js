/** Colours: those of the report, on paper that may be light or dark. */

/** Okabe and Ito's colours as the report uses them. */
export const PALETTE = [
  "#2f7fc1", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#a68a00", "#7a6fbe",
];

const SPLITS = { train: "#8a8f98", valid: "#e69f00", test: "#2f7fc1" };

/** Colour of the n-th region, class or animal; beyond eight they repeat, paler. */
export function colour(n) {
  const base = PALETTE[n % PALETTE.length];
  return n < PALETTE.length ? base : mixed(base, "#ffffff", 0.4);
}

export const splitColour = (split) => SPLITS[split] ?? SPLITS.train;

/** Red, green and blue (0 to 255) of "#rrggbb". */
const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** A colour as one little-endian pixel, opaque. */
export function pixel(hex) {
  const [red, green, blue] = channels(hex);
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const INKS = ["#10151b", "#ffffff"];

/** Luminance of a colour, 0 to 1 (WCAG 2). */
function luminance(hex) {
  const [red, green, blue] = channels(hex).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** How well one colour is read on another, 1 to 21 (WCAG 2). */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, whichever is read more easily on a colour. */
export const inkOn = (hex) => INKS.reduce((best, ink) => (contrast(hex, ink) > contrast(hex, best) ? ink : best));

/** A colour of which a share gives way to another one. */
export function mixed(hex, other, share) {
  const [one, two] = [channels(hex), channels(other)];
  const sum = one.map((value, i) => Math.round(value * (1 - share) + two[i] * share));
  return `#${sum.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** What the style sheet says now; ask again when light turns to dark. */
export function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: named("ink"),
    soft: named("soft"),
    line: named("line"),
    card: named("card"),
    accent: named("accent"),
    track: named("track"),
    font: "11px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif",
  };
}
