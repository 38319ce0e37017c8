/**
 * Pieces of the recording, fetched ahead and kept, so that panning redraws at once.
 *
 * The recording is cut into tiles of 2^level seconds; a view needs at most three tiles of the
 * level whose tiles are as long as it, and one more is fetched on either side. Until they arrive,
 * tiles of other levels stand in for them.
 */

import { isLater } from "./api.js";

const AGAIN_MS = 500;
const COARSER = 14;
const FINER = 3;
const KEPT = 24;
const SHORTEST_S = 1e-5;

export class Tiles {
  /**
   * @param {(start: number, end: number, columns: number, signal: AbortSignal) => Promise<any>}
   *   fetchTile What a tile holds.
   * @param {{start: number, end: number}} whole The recording (s).
   * @param {() => void} arrived Called whenever there is more to draw.
   * @param {(error: Error) => void} failed Called with what the server says.
   */
  constructor(fetchTile, whole, arrived, failed) {
    Object.assign(this, { fetchTile, whole, arrived, failed });
    this.columns = 2000;
    this.kept = new Map();
    this.coming = new Map();
    this.refused = new Set();
    this.stale = new Set();
  }

  /** What is there was changed: show it until it was fetched anew. */
  refresh() {
    this.stale = new Set(this.kept.keys());
    this.refused.clear();
    this.abort();
  }

  abort() {
    for (const controller of this.coming.values()) controller.abort();
    this.coming.clear();
  }

  /** Show everything at another resolution from now on. */
  resize(columns) {
    if (columns === this.columns) return;
    this.columns = columns;
    this.refresh();
  }

  /** Fetch what a view needs and its neighbours; stop fetching anything else. */
  want(view) {
    const { level, first, last } = this.range(view);
    const visible = keys(level, first, last);
    const wanted = new Set([...visible, ...keys(level, first - 1, last + 1)]);
    for (const [key, controller] of this.coming) {
      if (!wanted.has(key)) controller.abort();
    }
    const shown = visible.every((key) => this.settled(key));
    // What is seen comes first; its neighbours wait until it is there.
    for (const key of shown ? wanted : visible) this.load(key);
  }

  /** Whether all that a view shows is there at its own resolution. */
  complete(view) {
    const { level, first, last } = this.range(view);
    return keys(level, first, last).every((key) => this.settled(key));
  }

  /** Whether asking for a tile would tell nothing new. */
  settled(key) {
    const [start, end] = this.stretch(key);
    // What rounding leaves behind the last tile is no window.
    if (end - start < SHORTEST_S) return true;
    return (this.kept.has(key) && !this.stale.has(key)) || this.refused.has(key);
  }

  /**
   * The best of what is there for a view.
   * @returns {{tile: any, from: number, to: number}[]} Tiles and the stretch (s) each may fill.
   */
  pieces(view) {
    const { level, first, last } = this.range(view);
    return keys(level, first, last).flatMap((key) => this.best(key));
  }

  range(view) {
    const level = Math.ceil(Math.log2(view.end - view.start) - 1e-9);
    const at = (time) => (time - this.whole.start) / 2 ** level;
    const first = Math.floor(at(view.start) + 1e-9);
    return { level, first, last: Math.max(first, Math.ceil(at(view.end) - 1e-9) - 1) };
  }

  best(key) {
    const tile = this.kept.get(key);
    const [from, to] = this.stretch(key);
    if (tile) return [{ tile: this.touch(key), from, to }];
    const [level, index] = parts(key);
    for (let up = 1; up <= COARSER; up += 1) {
      const coarse = `${level + up}:${Math.floor(index / 2 ** up)}`;
      if (this.kept.has(coarse)) return [{ tile: this.touch(coarse), from, to }];
    }
    return this.finer(level, index, FINER);
  }

  finer(level, index, depth) {
    if (depth === 0) return [];
    return [2 * index, 2 * index + 1].flatMap((child) => {
      const key = `${level - 1}:${child}`;
      if (!this.kept.has(key)) return this.finer(level - 1, child, depth - 1);
      const [from, to] = this.stretch(key);
      return [{ tile: this.kept.get(key), from, to }];
    });
  }

  touch(key) {
    const tile = this.kept.get(key);
    this.kept.delete(key);
    this.kept.set(key, tile);
    return tile;
  }

  stretch(key) {
    const [level, index] = parts(key);
    const start = this.whole.start + index * 2 ** level;
    return [start, Math.min(start + 2 ** level, this.whole.end)];
  }

  async load(key) {
    const [start, end] = this.stretch(key);
    if (this.settled(key) || this.coming.has(key)) return;
    if (start < this.whole.start || start >= end) return;
    const controller = new AbortController();
    this.coming.set(key, controller);
    const share = (end - start) / 2 ** parts(key)[0];
    const columns = Math.max(1, Math.round(this.columns * share));
    try {
      const data = await this.fetchTile(start, end, columns, controller.signal);
      if (controller.signal.aborted) return;
      this.stale.delete(key);
      this.kept.delete(key);
      this.kept.set(key, { start, end, columns, level: parts(key)[0], data });
      while (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    } catch (error) {
      if (controller.signal.aborted) return;
      if (isLater(error)) return void setTimeout(this.arrived, AGAIN_MS);
      // Asking again for what was refused would ask for ever.
      this.refused.add(key);
      this.failed(error);
    } finally {
      if (this.coming.get(key) === controller) this.coming.delete(key);
    }
    this.arrived();
  }
}

const parts = (key) => key.split(":").map(Number);

function keys(level, first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => `${level}:${first + i}`);
}
