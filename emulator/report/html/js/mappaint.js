// Painting memory: every live block into the cells of the rows that are in view. A cell is one device pixel wide.

const pixel = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

class Painter {
  constructor() {
    this.cells = 0;
  }

  // Make room for rows of cells.
  resize(width, rows) {
    this.width = width;
    this.rows = rows;
    if (width * rows === this.cells) return;
    this.cells = width * rows;
    this.cover = new Float32Array(this.cells); // how much of the cell is in use, 0 to 1
    this.tint = new Uint32Array(this.cells); // the colour of its last block
    this.edge = new Uint8Array(this.cells); // a block ends here
  }

  // Collect what lives after an event, from *start* on. colour(block): a pixel.
  collect(area, event, start, cellBytes, colour) {
    this.cover.fill(0);
    this.edge.fill(0);
    const { address, size, born, died } = area;
    const end = start + this.cells * cellBytes, count = area.firstBorn(event + 1);
    for (let i = 0; i < count; i += 1) {
      if (died[i] <= event || address[i] >= end) continue;
      const first = (address[i] - start) / cellBytes;
      const last = (address[i] + Math.max(size[i], 1) - start) / cellBytes;
      if (last > 0 && born[i] <= event) this.mark(Math.max(first, 0), Math.min(last, this.cells), colour(i));
    }
  }

  mark(first, last, tint) {
    const { cover } = this;
    const from = Math.floor(first), to = Math.min(Math.ceil(last), this.cells);
    this.tint.fill(tint, from, to);
    if (to - from === 1) {
      cover[from] += last - first;
      return;
    }
    cover[from] += from + 1 - first;
    cover.fill(1, from + 1, to - 1);
    cover[to - 1] += last - (to - 1);
    if (to - from >= 4) this.edge[to - 1] = 1; // wide enough for a line between neighbours
  }

  // Paint the cells into an image: rows of *pitch* pixels, of which the last *gap* stay empty. What is outside of *span*, from
  // one cell to another, stays empty too.
  paint(image, pitch, gap, colours, span) {
    const pixels = new Uint32Array(image.data.buffer);
    const { width } = this;
    for (let row = 0; row < this.rows; row += 1) {
      const top = row * pitch * width;
      if (top >= pixels.length) break;
      this.paintLine(pixels, top, row * width, colours, span);
      for (let y = 1; y < pitch - gap && top + (y + 1) * width <= pixels.length; y += 1) {
        pixels.copyWithin(top + y * width, top, top + width);
      }
    }
  }

  paintLine(pixels, top, start, { free, line }, [from, to]) {
    const end = Math.min(this.width, to - start);
    for (let x = Math.max(from - start, 0); x < end; x += 1) {
      const cell = start + x, share = this.cover[cell];
      let value = share > 0 ? this.tint[cell] : free;
      if (share > 0 && this.edge[cell]) value = blend(line, value, 0.5);
      else if (share > 0 && share < 0.97) value = blend(value, free, 0.25 + 0.75 * share); // a little of a block is still seen
      pixels[top + x] = value;
    }
  }
}

function blend(over, under, share) {
  const channel = (shift) => {
    const a = (over >>> shift) & 255, b = (under >>> shift) & 255;
    return Math.round(b + (a - b) * share) << shift;
  };
  return (0xff000000 | channel(16) | channel(8) | channel(0)) >>> 0;
}

const AGE_STEPS = 4; // colours for each doubling of the age

// Colours of ages in events, from new to old; the square leaves more of them to the old ones, which are most.
function ageColours(oldest) {
  const stops = ["age-new", "age-mid", "age-old"].map(themeColour);
  const steps = Math.max(Math.ceil(AGE_STEPS * Math.log2(oldest + 1)), 1);
  return Array.from({ length: steps + 1 }, (_, i) => {
    const place = (i / steps) ** 2 * 2;
    const low = Math.min(Math.floor(place), 1);
    return pixel(stops[low].map((value, n) => Math.round(value + (stops[low + 1][n] - value) * (place - low))));
  });
}
