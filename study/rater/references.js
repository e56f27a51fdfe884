// Real examples beside the task: small pictures and videos that a press enlarges. They load one
// after another once the rated videos are loaded; a page can be scored without them.

import { dialog, make } from "./elements.js";
import { NotLoaded, local } from "./loading.js";
import { hurry, pause } from "./server.js";
import { lessMotion } from "./videos.js";

export class References {
  constructor(page, words) {
    this.words = words;
    this.stopped = false;
    this.shown = [
      ...page.images.map((address) => this.reference("img", address)),
      ...page.videos.map((address) => this.reference("video", address)),
    ];
    this.buttons = this.shown.map((reference) => reference.button);
  }

  reference(kind, address) {
    const reference = { address, copy: "", small: this.picture(kind) };
    reference.button = make("button", {
      type: "button", class: "reference", "aria-label": this.words.enlarge,
      onclick: () => {
        if (!reference.copy) hurry();
        else this.enlarge(kind, reference.copy);
      },
    }, reference.small);
    return reference;
  }

  picture(kind, controls = false) {
    const { example } = this.words;
    if (kind === "img") return make("img", { alt: example });
    const video = make("video", {
      loop: true, playsinline: true, autoplay: !lessMotion(), controls, "aria-label": example,
    });
    video.muted = true;
    return video;
  }

  enlarge(kind, copy) {
    const large = this.picture(kind, true);
    large.src = copy;
    dialog(this.words.example, [large], [["", this.words.close, "main"]]);
  }

  // Tries until all are loaded.
  async load() {
    let missing = this.shown;
    for (let wait = 2000; missing.length && !this.stopped; wait = Math.min(wait * 2, 30000)) {
      const failed = [];
      for (const reference of missing) if (!await this.fetch(reference)) failed.push(reference);
      missing = failed;
      if (missing.length) await pause(wait);
    }
  }

  async fetch(reference) {
    const { button, small } = reference;
    if (this.stopped) return false;
    try {
      reference.copy = await local(reference.address);
    } catch (error) {
      if (!(error instanceof NotLoaded)) throw error;
      button.dataset.failed = this.words.notLoadedShort;
      button.setAttribute("aria-label", this.words.referenceFailed);
      return false;
    }
    small.src = reference.copy;
    delete button.dataset.failed;
    button.setAttribute("aria-label", this.words.enlarge);
    return true;
  }

  stop() { this.stopped = true; }
}
