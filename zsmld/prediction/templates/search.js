"use strict";

// Which photographs have the labels that are chosen, and in which order they are shown. Photographs and labels are
// their numbers here: places in `photographs` and in `about.labels`.

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

const search = {
  chosen: new Set(),
  all: true, // photographs with all of the chosen labels, or with any
  cut: null, // the score from which on a label is there; null: each label's own threshold
  order: "score", // or "name"
  byLabel: [], // of each label: { photographs, scores }, and `sorted`, its scores from the lowest on

  add(record, photograph) {
    record.labels.forEach((label, at) => {
      const those = (search.byLabel[label] ??= { photographs: [], scores: [], sorted: null });
      those.photographs.push(photograph);
      those.scores.push(record.scores[at]);
      those.sorted = null;
    });
  },

  cutOf(label) {
    return search.cut ?? about.labels[label].threshold;
  },

  // How many photographs a label is there in.
  count(label) {
    const sorted = search.sortedScores(label);
    const cut = search.cutOf(label);
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < cut) low = middle + 1;
      else high = middle;
    }
    return sorted.length - low;
  },

  best(label) {
    return search.sortedScores(label).at(-1) ?? 0;
  },

  sortedScores(label) {
    const those = search.byLabel[label];
    if (those === undefined) return [];
    return (those.sorted ??= Float64Array.from(those.scores).sort());
  },

  // The photographs to show. With labels chosen and order "score" the best come first: by the lowest of the chosen
  // labels' scores where all must be there, by the highest where any may.
  found() {
    const rank = new Float64Array(photographs.length);
    const hits = new Int32Array(photographs.length);
    for (const label of search.chosen) {
      const cut = search.cutOf(label);
      const those = search.byLabel[label];
      those?.photographs.forEach((photograph, at) => {
        const score = those.scores[at];
        if (score < cut) return;
        const other = hits[photograph] ? rank[photograph] : score;
        rank[photograph] = search.all ? Math.min(other, score) : Math.max(other, score);
        hits[photograph] += 1;
      });
    }
    const needed = search.all ? search.chosen.size : Math.min(1, search.chosen.size);
    const found = [...photographs.keys()].filter((photograph) => hits[photograph] >= needed);
    if (search.order === "name") return found.sort((one, other) => compareNames(one, other) || one - other);
    return search.chosen.size ? found.sort((one, other) => rank[other] - rank[one] || one - other) : found;
  },
};

function compareNames(one, other) {
  return collator.compare(nameOf(photographs[one]), nameOf(photographs[other]));
}
