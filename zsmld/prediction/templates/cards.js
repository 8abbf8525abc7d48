"use strict";

// The elements of a photograph and its labels. Names and labels become text nodes and attributes, never markup.

const CHIPS = 5; // labels of a card where fewer are there
const MOST_CHIPS = 6;

// An element with properties (attributes, where their names have a dash), and children, of which strings are text.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A name between others, whatever its direction of writing.
function named(text) {
  return element("bdi", {}, text);
}

function scoreText(score) {
  if (score >= 0.0095) return score.toFixed(2);
  return score >= 0.0005 ? score.toFixed(3) : "0.000";
}

function isThere(photograph, at) {
  return photograph.scores[at] >= search.cutOf(photograph.labels[at]);
}

// What is known of a label beside its score, as sentences; none of what all labels have in common.
function knownOf(label) {
  const { seen, nearest } = about.labels[label];
  if (seen) return "";
  if (nearest.length === 0) return about.mixed ? "Never trained on." : "";
  return `Never trained on; nearest: ${nearest.map(([name, cosine]) => `${name} (${cosine.toFixed(2)})`).join(", ")}.`;
}

function kindOf(label) {
  return about.mixed && !about.labels[label].seen ? "unseen" : "seen";
}

// The label at a place in the photograph's list, with its score; a button where there is a heatmap to show.
function chipOf(photograph, at, overlay) {
  const label = photograph.labels[at];
  const { label: name, threshold } = about.labels[label];
  const exact = photograph.scores[at].toPrecision(3);
  const state = isThere(photograph, at) ? "there" : "below";
  const canLook = photograph.heatmaps !== undefined && photograph.size !== null;
  const chip = element(
    canLook ? "button" : "span",
    {
      className: `chip ${state} ${kindOf(label)}${search.chosen.has(label) ? " chosen" : ""}`,
      title: `${name}: ${exact}, threshold ${scoreText(threshold)}. ${knownOf(label)}`.trim(),
    },
    named(name),
    " ",
    element("span", { className: "score" }, scoreText(photograph.scores[at])),
  );
  if (canLook) {
    chip.type = "button";
    overlay.attach(chip, at);
  }
  return chip;
}

// Places in the photograph's list: the chosen labels, then those that are there, then the best of the others.
function chipsOf(photograph) {
  const places = [...photograph.labels.keys()];
  const chosen = places.filter((at) => search.chosen.has(photograph.labels[at]));
  const others = places.filter((at) => !search.chosen.has(photograph.labels[at]));
  const there = others.filter((at) => isThere(photograph, at));
  const below = others.filter((at) => !isThere(photograph, at));
  const few = [...chosen, ...there].slice(0, MOST_CHIPS);
  return few.concat(below.slice(0, Math.max(0, CHIPS - few.length)));
}

function pictureOf(photograph, properties) {
  if (photograph.size === null) {
    return element("span", { className: "no-picture" }, `no picture: ${photograph.problem}`);
  }
  const [width, height] = photograph.size;
  // `loading` among the properties must be known before the address is.
  const src = thumbnailOf(photograph);
  return element("img", { ...properties, alt: "", width, height, decoding: "async", src });
}

function nameLink(record) {
  const name = named(nameOf(record));
  if (record.link === null) return element("span", { className: "name", title: record.path }, name);
  return element("a", { className: "name", href: record.link, title: record.path }, name);
}

// `enlarge` is called with the photograph when its picture is pressed.
function cardOf(photograph, enlarge) {
  const frame = element(
    "button",
    { type: "button", className: "frame", "aria-label": `Enlarge ${nameOf(photograph)}` },
    pictureOf(photograph, { loading: "lazy" }),
  );
  frame.addEventListener("click", () => enlarge(photograph));
  const overlay = new Overlay(frame, photograph);
  const places = chipsOf(photograph);
  const hidden = photograph.labels.length - places.length;
  const chips = places.map((at) => element("li", {}, chipOf(photograph, at, overlay)));
  if (hidden > 0) {
    const told = `All labels of ${nameOf(photograph)}`;
    const more = element("button", { type: "button", className: "more", "aria-label": told }, `+${hidden}`);
    more.addEventListener("click", () => enlarge(photograph));
    chips.push(element("li", {}, more));
  }
  return element(
    "li",
    { className: "card" },
    frame,
    nameLink(photograph),
    element("ul", { className: "chips" }, ...chips),
  );
}

function errorOf(record) {
  return element("li", {}, nameLink(record), " ", named(record.error));
}
