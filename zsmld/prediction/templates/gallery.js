"use strict";

// What is on the page, and what the controls do.

const BATCH = 60; // cards that are made at once
const AHEAD = 1500; // pixels below the window that are kept filled
const MOST_LABELS = 200; // lines of the list of labels
// Scores that the slider stops at: near 0 and near 1 a little makes a difference.
const STOPS = [
  0, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3,
  0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995,
  0.999, 1,
];

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((each) => [each.id, each]));

let found = []; // the photographs to show: their numbers
let made = 0; // how many of them have cards

gallery.whenBegun = () => {
  const seen = about.labels.filter((each) => each.seen).length;
  about.mixed = seen > 0 && seen < about.labels.length;
  page.legend.hidden = !about.mixed;
  page.summary.append(
    `${counted(about.photographs, "photograph")}, ${counted(about.labels.length, "label")}`,
  );
  if (about.errors) {
    page.errors.hidden = false;
    page["errors-told"].textContent = `${counted(about.errors, "photograph")} could not be read`;
  }
  if (about.files === 0) tell();
};

gallery.whenLoaded = () => {
  const complete = gallery.filesLoaded === about.files;
  if (gallery.filesLoaded === 1 || complete) {
    refresh();
    listLabels();
  }
  page.look.hidden = !photographs.some((photograph) => photograph.heatmaps !== undefined);
};

gallery.whenMissing = (file) => {
  page.missing.hidden = false;
  page.missing.textContent = `${file} is missing, and what it holds is not shown: a gallery is a whole folder.`;
  gallery.filesLoaded += 1;
  gallery.whenLoaded();
};

function counted(count, name) {
  return `${count.toLocaleString()} ${name}${count === 1 ? "" : "s"}`;
}

function refresh() {
  const before = found.slice(0, made);
  found = search.found();
  // While data arrives nothing moves: the cards that are there stay.
  if (made === 0 || search.chosen.size || before.some((photograph, at) => found[at] !== photograph)) {
    page.cards.replaceChildren();
    made = 0;
  }
  tell();
  fill();
}

// A change of what is asked for: every card may look different.
function changed() {
  made = 0;
  refresh();
  const top = page.told.getBoundingClientRect().top;
  if (top < 0) window.scrollBy(0, top - 16);
}

function tell() {
  const count = search.chosen.size
    ? `${found.length.toLocaleString()} of ${counted(photographs.length, "photograph")}`
    : counted(photographs.length, "photograph");
  page.told.textContent = gallery.filesLoaded < about.files ? "Loading …" : count;
  const chips = [...search.chosen].map((label) => {
    const remove = element(
      "button",
      { type: "button", className: "chip there chosen", "aria-label": `Remove ${about.labels[label].label}` },
      named(about.labels[label].label),
      " ×",
    );
    remove.addEventListener("click", () => choose(label, false));
    return element("li", {}, remove);
  });
  page.chosen.replaceChildren(...chips);
  page.none.hidden = found.length > 0 || search.chosen.size === 0;
}

function choose(label, isChosen) {
  if (isChosen) search.chosen.add(label);
  else search.chosen.delete(label);
  for (const box of page.labels.querySelectorAll("input")) box.checked = search.chosen.has(Number(box.value));
  changed();
}

function listLabels() {
  const wanted = page.find.value.trim().toLowerCase();
  const labels = [...about.labels.keys()]
    .filter((label) => about.labels[label].label.toLowerCase().includes(wanted))
    .map((label) => ({
      label,
      name: about.labels[label].label,
      count: search.count(label),
      best: search.best(label),
    }))
    .sort(
      (one, other) =>
        other.count - one.count || other.best - one.best || collator.compare(one.name, other.name),
    );
  page.labels.replaceChildren(...labels.slice(0, MOST_LABELS).map(labelLine));
  const left = labels.length - MOST_LABELS;
  page["labels-left"].textContent = left > 0 ? `and ${left.toLocaleString()} more: type to find them` : "";
  if (labels.length === 0) page["labels-left"].textContent = "no such label";
}

function labelLine({ label, name, count }) {
  const box = element("input", { type: "checkbox", checked: search.chosen.has(label), value: label });
  box.addEventListener("change", () => choose(label, box.checked));
  const text = element("span", { className: `name ${kindOf(label)}` }, named(name));
  const line = element(
    "label",
    { title: `${name}. ${knownOf(label)}`.trim() },
    box,
    text,
    element("span", { className: "count" }, count.toLocaleString()),
  );
  return element("li", {}, line);
}

// Makes cards until the window, and some way below it, is full.
function fill() {
  while (made < found.length && page.end.getBoundingClientRect().top < window.innerHeight + AHEAD)
    addCards(BATCH);
}

function addCards(count) {
  const next = found.slice(made, made + count);
  page.cards.append(...next.map((photograph) => cardOf(photographs[photograph], enlarged.open)));
  made += next.length;
}

enlarged.neighbour = (photograph, step) => {
  const at = found.findIndex((each) => photographs[each] === photograph);
  return photographs[found[at + step]];
};
enlarged.whenChosen = (label) => {
  search.chosen.clear();
  choose(label, true);
};

new IntersectionObserver(fill, { rootMargin: `${AHEAD}px` }).observe(page.end);
page.find.addEventListener("input", listLabels);
for (const button of [page.all, page.any]) {
  button.addEventListener("change", () => {
    search.all = page.all.checked;
    changed();
  });
}
page.order.addEventListener("change", () => {
  search.order = page.order.value;
  changed();
});

function setCut(cut) {
  search.cut = cut;
  page.own.checked = cut === null;
  const told = cut === null ? "each label’s own" : String(cut);
  page["cut-told"].textContent = told;
  page.cut.setAttribute("aria-valuetext", told);
  if (cut !== null) page.cut.value = STOPS.findIndex((stop) => stop >= cut);
  changed();
  listLabels();
}

page.cut.max = STOPS.length - 1;
page.cut.value = STOPS.indexOf(0.5);
page.cut.addEventListener("input", () => setCut(STOPS[page.cut.value]));
page.own.addEventListener("change", () => setCut(page.own.checked ? null : STOPS[page.cut.value]));
page["any-score"].addEventListener("click", () => setCut(0));

page.errors.addEventListener("toggle", () => {
  if (page.errors.open) page["errors-list"].replaceChildren(...errors.map(errorOf));
});

// Arrow keys go from picture to picture.
page.cards.addEventListener("keydown", (event) => {
  const frames = [...page.cards.querySelectorAll(".frame")];
  const at = frames.indexOf(event.target);
  if (at < 0) return;
  const columns = frames.findIndex((frame) => frame.offsetTop > frames[0].offsetTop);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const next = frames[at + steps[event.key]];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
});

// On paper is what has been looked at: pictures that were never near the window have not been loaded.
window.addEventListener("beforeprint", () => {
  let printed = 0;
  for (const card of page.cards.children) {
    const picture = card.querySelector("img");
    const isLoaded = picture === null || picture.naturalWidth > 0;
    card.classList.toggle("not-printed", !isLoaded);
    printed += isLoaded;
  }
  const left = found.length - printed;
  page.printed.textContent = left ? `Here are the first ${printed.toLocaleString()} of them.` : "";
});
// Beside the photographs where there is room, else folded away above them.
page.filter.open = window.matchMedia("(min-width: 48rem)").matches;
