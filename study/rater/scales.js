// The scales of a page: a group of radio buttons for each dimension and side.

import { make } from "./elements.js";

export class Scales {
  // `scored(dimension, side, score)` is called for each score the rater gives.
  constructor(page, study, words, scored) {
    Object.assign(this, { page, study, words, scored });
    this.sides = study.kind === "pairs" ? ["left", "right"] : ["left"];
    this.captions = page.right && study.kind === "pairs"
      ? { left: words.leftShort, right: words.rightShort } : { left: words.onlyShort };
    this.groups = [];
    this.sections = study.dimensions.map((dimension) => this.section(dimension));
  }

  section(dimension) {
    const groups = this.sides.map((side) => this.group(dimension, side));
    this.groups.push(...groups);
    return make("section", { class: "card dimension" },
      make("h2", {}, dimension.title), make("p", {}, dimension.question),
      make("div", { class: "sides" }, ...groups));
  }

  group(dimension, side) {
    const { words, study } = this;
    const choice = study.kind === "choice";
    const scores = !choice ? [1, 2, 3, 4, 5] : study.tie ? [1, 2, 3] : [1, 3];
    const choices = { 1: words.left, 2: words.tie, 3: words.right };
    const legend = make("legend", {},
      make("span", { class: "unseen" }, `${dimension.title}: `),
      choice ? "" : this.captions[side], make("span", { class: "tick", "aria-hidden": "true" }));
    const step = (score) => (dimension.labels.length
      ? [String(score), make("small", {}, dimension.labels[score - 1])] : [String(score)]);
    const radio = (score) => make("label", {},
      make("input", {
        type: "radio", name: `${dimension.id} ${side}`, value: score,
        "aria-label": choice ? choices[score] : spoken(dimension, score),
        onchange: () => {
          this.find(dimension.id, side).classList.remove("stored");
          this.scored(dimension.id, side, score);
        },
      }),
      make("span", { "aria-hidden": "true" }, ...choice ? [choices[score]] : step(score)));
    const anchors = make("div", { class: "anchors", "aria-hidden": "true" },
      make("span", {}, dimension.low), make("span", {}, dimension.high));
    return make("fieldset", {
      class: choice ? "scale choice" : "scale", "data-side": side, "data-dimension": dimension.id,
    }, legend, make("div", { class: "scores" }, ...scores.map(radio)),
    choice || dimension.labels.length ? null : anchors, this.hint(dimension, side));
  }

  // On practice pages: which scores would fit.
  hint(dimension, side) {
    const expected = this.page.hints.find((each) =>
      each.side === side && each.dimension === dimension.id);
    if (!expected) return null;
    const { low, high } = expected;
    return make("p", { class: "hint" },
      low === high ? this.words.hintOne(low) : this.words.hint(low, high));
  }

  find(dimension, side) {
    return this.groups.find((each) =>
      each.dataset.dimension === dimension && each.dataset.side === side);
  }

  // Shows a score that was given before, stored or still on its way.
  set({ side, dimension, score }, stored) {
    const group = this.find(dimension, side);
    const input = group?.querySelector(`[value="${score}"]`);
    if (!input) return;
    input.checked = true;
    group.classList.toggle("stored", stored);
  }

  markStored({ side, dimension }) {
    this.find(dimension, side)?.classList.add("stored");
  }

  // Groups without a score.
  get open() { return this.groups.filter((group) => !group.querySelector(":checked")); }

  lock(locked) {
    for (const group of this.groups) group.disabled = locked;
  }

  // Gives a score by its key to the group in use, else to the first without one, and moves on to
  // the next open group; false when there is none left.
  press(key) {
    const group = document.activeElement.closest?.("fieldset.scale") ?? this.open[0];
    const input = group?.querySelector(`[value="${key}"]`);
    if (!input || group.disabled) return true;
    if (!input.checked) input.click();
    const [next] = this.open;
    next?.querySelector("input").focus();
    return Boolean(next);
  }
}

const spoken = (dimension, score) => {
  const label = dimension.labels[score - 1]
    ?? (score === 1 ? dimension.low : score === 5 ? dimension.high : "");
  return label ? `${score}, ${label}` : String(score);
};
