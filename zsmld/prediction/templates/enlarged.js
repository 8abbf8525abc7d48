"use strict";

// One photograph, large, with all of its labels.

const MOST_ROWS = 300;

const enlarged = {
  dialog: document.getElementById("enlarged"),
  photograph: null,
  // Set by gallery.js: the photograph so many places further on, or undefined; and what to do with a chosen label.
  neighbour() {},
  whenChosen() {},

  open(photograph) {
    enlarged.photograph = photograph;
    const frame = element("div", { className: "frame" }, pictureOf(photograph, {}));
    const overlay = new Overlay(frame, photograph);
    const place = element("p", { className: "soft" }, named(photograph.path));
    const rows = [...photograph.labels.keys()]
      .slice(0, MOST_ROWS)
      .map((at) => enlarged.row(photograph, at, overlay));
    const left = photograph.labels.length - rows.length;
    const more = `and ${left.toLocaleString()} with lower scores`;
    if (left > 0) rows.push(element("li", { className: "soft" }, more));
    const title = element("h2", { id: "enlarged-title" }, nameLink(photograph));
    document.getElementById("enlarged-picture").replaceChildren(frame);
    document.getElementById("enlarged-labels").replaceChildren(title, place, element("ol", {}, ...rows));
    document.getElementById("previous").disabled = enlarged.neighbour(photograph, -1) === undefined;
    document.getElementById("next").disabled = enlarged.neighbour(photograph, 1) === undefined;
    if (!enlarged.dialog.open) enlarged.dialog.showModal();
    enlarged.showOriginal(photograph, frame, place);
  },

  row(photograph, at, overlay) {
    const label = photograph.labels[at];
    const bar = element("span", { className: `bar ${kindOf(label)}` });
    bar.style.width = `${100 * photograph.scores[at]}%`;
    const told = `Show all photographs with ${about.labels[label].label}`;
    const choose = element("button", { type: "button", className: "choose", "aria-label": told }, "show all");
    choose.addEventListener("click", () => {
      enlarged.dialog.close();
      enlarged.whenChosen(label);
    });
    const known = knownOf(label);
    return element(
      "li",
      {},
      chipOf(photograph, at, overlay),
      element("span", { className: "track" }, bar),
      choose,
      known ? element("small", { className: "soft" }, named(known)) : null,
    );
  },

  // The photograph itself in place of its small picture, where it still is and the browser knows its format.
  async showOriginal(photograph, frame, place) {
    if (photograph.link === null || photograph.size === null) return;
    const original = element("img", { src: photograph.link, alt: "" });
    try {
      await original.decode();
      frame.querySelector("img").replaceWith(original);
    } catch {
      place.append(
        " (shown small: the photograph is not where it was, or this browser does not show its format)",
      );
    }
  },

  go(step) {
    const next = enlarged.neighbour(enlarged.photograph, step);
    if (next !== undefined) enlarged.open(next);
  },
};

document.getElementById("previous").addEventListener("click", () => enlarged.go(-1));
document.getElementById("next").addEventListener("click", () => enlarged.go(1));
document.getElementById("close").addEventListener("click", () => enlarged.dialog.close());
enlarged.dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") enlarged.go(-1);
  else if (event.key === "ArrowRight") enlarged.go(1);
});
enlarged.dialog.addEventListener("click", (event) => {
  if (event.target === enlarged.dialog) enlarged.dialog.close(); // beside what it holds
});
