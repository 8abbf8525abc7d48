"use strict";

// Where a label looked, drawn over a photograph: a grid of levels that covers all of it, stretched to its size.

const LONG_SIDE = 256; // pixels of a drawing; the browser stretches it to the picture

// The files of heatmaps that were looked at last.
const heatmapFiles = {
  most: 40,
  promises: new Map(), // file → Promise of a Map: number of a photograph → its labels' heatmaps
  resolvers: new Map(),

  load(file) {
    let promise = heatmapFiles.promises.get(file);
    if (promise === undefined) {
      promise = new Promise((resolve) => heatmapFiles.resolvers.set(file, resolve));
      loadData("heatmaps", file, () => heatmapFiles.arrived(file, new Map()));
    }
    // Last in the map is what was asked for last.
    heatmapFiles.promises.delete(file);
    heatmapFiles.promises.set(file, promise);
    if (heatmapFiles.promises.size > heatmapFiles.most) {
      heatmapFiles.promises.delete(heatmapFiles.promises.keys().next().value);
    }
    return promise;
  },

  arrived(file, heatmaps) {
    heatmapFiles.resolvers.get(file)?.(heatmaps);
    heatmapFiles.resolvers.delete(file);
  },
};

// { height, width, levels } of the label at a place in the photograph's list; null where it has none.
async function heatmapOf(photograph, at) {
  if (photograph.heatmaps === undefined) return null;
  const heatmaps = await heatmapFiles.load(photograph.heatmaps);
  const heatmap = heatmaps.get(photograph.number)?.[at];
  if (!heatmap) return null;
  const [height, width, levels] = heatmap;
  return { height, width, levels: bytes(levels) };
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function drawHeatmap(canvas, photograph, heatmap) {
  const [width, height] = photograph.size;
  const scale = LONG_SIDE / Math.max(width, height);
  // The shape of the photograph, so that canvas and picture fit into the same box in the same way.
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const levels = upsampled(heatmap, canvas.width, canvas.height);
  const palette = (about.paletteBytes ??= bytes(about.palette));
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  levels.forEach((level, pixel) => {
    for (let channel = 0; channel < 4; channel++)
      image.data[4 * pixel + channel] = palette[4 * level + channel];
  });
  context.putImageData(image, 0, 0);
}

// The levels of a grid stretched to so many pixels, row by row: bicubic (Keys 1981, a = -1/2), as zsmld writes PNGs.
function upsampled({ height, width, levels }, toWidth, toHeight) {
  const columns = tapsOf(width, toWidth);
  const rows = tapsOf(height, toHeight);
  const wide = new Float32Array(height * toWidth);
  for (let y = 0; y < height; y++) {
    columns.forEach((taps, x) => {
      for (const [cell, weight] of taps) wide[y * toWidth + x] += weight * levels[y * width + cell];
    });
  }
  const stretched = new Float32Array(toHeight * toWidth);
  rows.forEach((taps, y) => {
    for (const [cell, weight] of taps) {
      for (let x = 0; x < toWidth; x++) stretched[y * toWidth + x] += weight * wide[cell * toWidth + x];
    }
  });
  return Uint8ClampedArray.from(stretched); // which rounds
}

// Of each pixel of a line the cells that it is made of, and how much of each: [[cell, weight], ...], together 1.
function tapsOf(cells, pixels) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const centre = ((pixel + 0.5) * cells) / pixels - 0.5;
    const taps = [];
    for (let cell = Math.ceil(centre - 2); cell <= centre + 2; cell++) {
      if (cell >= 0 && cell < cells) taps.push([cell, keys(Math.abs(cell - centre))]);
    }
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([cell, weight]) => [cell, weight / sum]);
  });
}

function keys(distance) {
  if (distance <= 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance <= 2) return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
  return 0;
}

// Shows over a picture where one of its labels looked: the one under the pointer, else the one in focus, else the one
// that was pressed.
class Overlay {
  constructor(frame, photograph) {
    this.frame = frame;
    this.photograph = photograph;
    this.canvas = null;
    this.pointed = this.focused = this.pressed = null;
    this.buttons = [];
  }

  // Lets a button stand for the label at a place in the photograph's list.
  attach(button, at) {
    this.buttons[at] = button;
    button.setAttribute("aria-pressed", "false");
    // A finger does not hover: its tap is a press.
    button.addEventListener(
      "pointerenter",
      (event) => event.pointerType !== "touch" && this.set("pointed", at),
    );
    button.addEventListener("pointerleave", () => this.set("pointed", null));
    button.addEventListener("focus", () => button.matches(":focus-visible") && this.set("focused", at));
    button.addEventListener("blur", () => this.set("focused", null));
    button.addEventListener("click", () => this.set("pressed", this.pressed === at ? null : at));
  }

  set(how, at) {
    this[how] = at;
    this.buttons.forEach((button, place) =>
      button.setAttribute("aria-pressed", String(place === this.pressed)),
    );
    return this.show(this.pointed ?? this.focused ?? this.pressed);
  }

  async show(at) {
    this.shown = at;
    const heatmap = at === null ? null : await heatmapOf(this.photograph, at);
    if (this.shown !== at) return; // another one was asked for meanwhile
    if (heatmap !== null) {
      if (this.canvas === null) this.frame.append((this.canvas = document.createElement("canvas")));
      drawHeatmap(this.canvas, this.photograph, heatmap);
    }
    this.frame.classList.toggle("looking", heatmap !== null);
  }
}
