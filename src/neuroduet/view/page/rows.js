/** Which units are shown: all, those of a region, or a stretch of rows that was zoomed to. */

/** Rows that are shown at least. */
const FEWEST = 4;

/**
 * Units of one region that stand next to each other.
 * @param {{region: string}[]} units In the order of the rows.
 * @returns {{region: string, first: number, last: number}[]}
 */
export function bands(units) {
  const found = [];
  units.forEach(({ region }, row) => {
    if (found.at(-1)?.region === region) found.at(-1).last = row;
    else found.push({ region, first: row, last: row });
  });
  return found;
}

export class Rows {
  /** @param {{region: string}[]} units In the order of the rows. */
  constructor(units) {
    this.all = units.length;
    this.bands = bands(units);
    this.show(0, this.all);
  }

  /** Show so many rows from one on, as far as there are any. */
  show(first, count) {
    this.count = Math.min(Math.max(Math.round(count), FEWEST), this.all);
    this.first = Math.min(Math.max(Math.round(first), 0), this.all - this.count);
  }

  get end() {
    return this.first + this.count;
  }

  /** Show one region alone; all units if it is shown already. */
  toggle({ first, last }) {
    const alone = this.first === first && this.end === last + 1;
    if (alone) this.show(0, this.all);
    else Object.assign(this, { first, count: last + 1 - first });
  }

  /** From all units to the first region, from each region to the next, from the last to all. */
  next() {
    const here = this.bands.findIndex(({ first, last }) => first === this.first && last + 1 === this.end);
    const band = this.count === this.all ? this.bands[0] : this.bands[here + 1];
    if (!band || this.bands.length < 2) this.show(0, this.all);
    else Object.assign(this, { first: band.first, count: band.last + 1 - band.first });
  }

  /** Zoom by `factor` (below 1: closer) while a share of the height keeps its row. */
  zoom(share, factor) {
    const row = this.first + share * this.count;
    // Few rows must not stay as many by rounding.
    const wished = factor < 1 ? Math.floor(this.count * factor) : Math.ceil(this.count * factor);
    const count = Math.min(Math.max(wished, FEWEST), this.all);
    this.show(row - share * count, count);
  }

  /** Move by a share of the shown rows. */
  move(share) {
    this.show(this.first + Math.sign(share) * Math.ceil(Math.abs(share) * this.count), this.count);
  }

  /** Move until a row is among those shown. */
  reveal(row) {
    if (row < this.first || row >= this.end) this.show(row - this.count / 2, this.count);
  }
}
