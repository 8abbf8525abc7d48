"use strict";

// What the files in data/ bring. Each calls one function of `gallery`; nothing is fetched, because a page that was
// opened from a disk may not.

let about = null; // { photographs, errors, files, palette, labels: [{ label, threshold, seen, nearest }] }
const photographs = []; // { path, link, number, size, labels, scores, heatmaps, problem }, in the order of the run
const errors = []; // { path, link, error }

const gallery = {
  filesLoaded: 0,
  // Set by gallery.js.
  whenBegun() {},
  whenLoaded() {},
  whenMissing() {},

  // data/about.js
  begin(value) {
    about = value;
    gallery.whenBegun();
    for (let file = 0; file < about.files; file++) loadData("photographs", file, gallery.whenMissing);
  },

  // data/photographs-*.js
  photographs(file, records) {
    for (const record of records) {
      if (record.error !== undefined) {
        errors.push(record);
        continue;
      }
      record.labels = Int32Array.from(record.labels);
      record.scores = Float64Array.from(record.scores);
      search.add(record, photographs.length);
      photographs.push(record);
    }
    gallery.filesLoaded += 1;
    gallery.whenLoaded();
  },

  // data/heatmaps-*.js
  heatmaps(file, records) {
    heatmapFiles.arrived(file, new Map(records));
  },
};

// Loads a file of data/; those that are asked for together come in that order.
function loadData(name, file, whenMissing) {
  const script = document.createElement("script");
  const source = `data/${name}-${String(file).padStart(5, "0")}.js`;
  script.src = source;
  script.async = false;
  script.onload = () => script.remove();
  script.onerror = () => whenMissing(source);
  document.head.append(script);
}

function nameOf(record) {
  return record.path.slice(record.path.lastIndexOf("/") + 1) || record.path;
}

function thumbnailOf(photograph) {
  return `thumbnails/${String(photograph.number).padStart(6, "0")}.jpg`;
}
