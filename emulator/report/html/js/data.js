// The data that the page carries: a document (JSON) and columns of numbers (see columns.py for the format).

function readDocument() {
  return JSON.parse($("document").textContent);
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const bytes = atob(text);
  const data = new Uint8Array(bytes.length);
  for (let i = 0; i < data.length; i += 1) data[i] = bytes.charCodeAt(i);
  return data;
}

async function readColumns(directory) {
  const packed = fromBase64($("columns").textContent.trim());
  $("columns").textContent = ""; // megabytes that nobody needs any more
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = new Uint8Array(await new Response(inflated).arrayBuffer());
  const columns = new Map();
  let offset = 0;
  for (const { name, count, width, grows } of directory) {
    const planes = data.subarray(offset, offset + count * width);
    const start = offset;
    columns.set(name, () => (width === 8 ? wideValues(planes, count, grows) : narrowValues(planes, count, grows)));
    offset = start + count * width;
  }
  return columns;
}

function narrowValues(planes, count, grows) {
  const out = new Uint32Array(count);
  let before = 0;
  for (let i = 0; i < count; i += 1) {
    const value =
      planes[i] | (planes[count + i] << 8) | (planes[2 * count + i] << 16) | (planes[3 * count + i] << 24);
    before = grows ? (before + value) >>> 0 : value >>> 0;
    out[i] = before;
  }
  return out;
}

// 64 bits become floating-point numbers: exact below 2^53. Differences may be negative, so they are added modulo 2^64.
function wideValues(planes, count, grows) {
  const low = narrowValues(planes.subarray(0, 4 * count), count, false);
  const high = narrowValues(planes.subarray(4 * count), count, false);
  const out = new Float64Array(count);
  let sumLow = 0, sumHigh = 0;
  for (let i = 0; i < count; i += 1) {
    if (grows) {
      sumLow += low[i];
      sumHigh = (sumHigh + high[i] + (sumLow > 0xffffffff ? 1 : 0)) >>> 0;
      sumLow >>>= 0;
      out[i] = sumHigh * 4294967296 + sumLow;
    } else {
      out[i] = high[i] * 4294967296 + low[i];
    }
  }
  return out;
}

// The call stacks. A place is where a call came from: the innermost frame of a stack. Frames of one function at one line are one
// place, whatever their addresses; the first of them stands for all.
class Stacks {
  constructor(data, columns) {
    this.names = data.names;
    this.table = data.frames;
    this.ends = columns.get("stack_ends")();
    this.frames = columns.get("stack_frames")();
    const known = new Map();
    this.same = Uint32Array.from(this.table, ([address, name, offset, file, line], frame) => {
      const key = line ? `${name} ${file} ${line}` : `${name} ${this.names[name] ? offset : address} -`;
      if (!known.has(key)) known.set(key, frame);
      return known.get(key);
    });
  }

  of(stack) {
    return this.frames.subarray(this.ends[stack], this.ends[stack + 1]);
  }

  // Number of the place that called the allocator, -1 if it is unknown.
  place(stack) {
    const start = this.ends[stack];
    return start < this.ends[stack + 1] ? this.same[this.frames[start]] : -1;
  }

  // The function; where no line tells the place in it, with the offset.
  functionText(frame) {
    if (frame < 0) return "unknown";
    const [address, name, offset, , line] = this.table[frame];
    if (!this.names[name]) return hexText(address);
    return offset && !line ? `${this.names[name]}+0x${offset.toString(16)}` : this.names[name];
  }

  fileText(frame) {
    if (frame < 0) return "";
    const [, , , file, line] = this.table[frame];
    const base = this.names[file].slice(this.names[file].lastIndexOf("/") + 1);
    return line ? `${base}:${line}` : base;
  }

  placeText(frame) {
    return `${this.functionText(frame)} ${this.fileText(frame)}`.trim();
  }
}
