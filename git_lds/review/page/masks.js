// Decodes COCO masks: run lengths by column, as numbers or in the compressed form of pycocotools.

const MOST_PIXELS = 32e6;

// Returns the lengths of the runs; the first one is outside the mask.
function runsOf(counts) {
  if (Array.isArray(counts)) return counts;
  const runs = [];
  for (let at = 0; at < counts.length; ) {
    let value = 0, shift = 0, code = 0;
    do {
      code = counts.charCodeAt(at++) - 48;
      if (!(code >= 0 && code < 64) || shift > 30) throw new Error("not a mask");
      value |= (code & 0x1f) << shift;
      shift += 5;
    } while (code & 0x20 && at < counts.length);
    if (code & 0x10 && shift < 32) value |= -1 << shift; // negative: runs are kept as differences
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

// Paints a mask {size: [height, width], counts} into image data of that size, with a colour [red, green, blue].
function paintMask(mask, image, colour) {
  const [height, width] = mask.size, all = height * width;
  const pixels = new Uint32Array(image.data.buffer);
  const value = (100 << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0]; // little-endian, as on all machines with browsers
  let at = 0, inside = false;
  for (const run of runsOf(mask.counts)) {
    if (!(run >= 0)) throw new Error("not a mask");
    const end = Math.min(all, at + run);
    if (inside) {
      let x = Math.floor(at / height), y = at % height;
      for (; at < end; at++) {
        pixels[y * width + x] = value;
        if (++y === height) y = 0, x++;
      }
    }
    at = end;
    inside = !inside;
    if (at >= all) break;
  }
}

function isMask(shape) {
  return shape && Array.isArray(shape.size) && shape.size.every((n) => Number.isInteger(n) && n > 0)
    && shape.size[0] * shape.size[1] <= MOST_PIXELS && (Array.isArray(shape.counts) || typeof shape.counts === "string");
}
