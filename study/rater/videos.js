// The videos of a page: fetched whole before they play, so that both run smoothly side by side.

import { make } from "./elements.js";

const STORE = new Map(); // address -> promise of a local address

export function fetchAhead(addresses) {
  for (const address of addresses) local(address).catch(() => STORE.delete(address));
}

function local(address) {
  if (!STORE.has(address)) {
    const promise = fetch(address, { signal: AbortSignal.timeout(60000) }).then(async (answer) => {
      if (!answer.ok) throw new Error(`${answer.status}`);
      return URL.createObjectURL(await answer.blob());
    });
    promise.catch(() => STORE.delete(address));
    STORE.set(address, promise);
  }
  return STORE.get(address);
}

// Free what is neither on this page nor on the next.
export function keepOnly(addresses) {
  for (const [address, promise] of STORE) {
    if (addresses.includes(address)) continue;
    STORE.delete(address);
    promise.then((url) => URL.revokeObjectURL(url), () => {});
  }
}

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Videos that start together, loop, and report when each has been seen from end to end.
export class Videos {
  // `changed(seen)`: share of the least seen video, 0 to 1; `stuck()`: the browser wants a press.
  constructor(names, [width, height], changed, stuck) {
    this.changed = changed;
    this.stuck = stuck;
    this.elements = names.map((name) => {
      const video = make("video", {
        width, height, playsinline: true, loop: true, muted: true, preload: "auto",
        disablepictureinpicture: true, disableremoteplayback: true, "aria-label": name,
      });
      video.muted = true; // the attribute alone does not count for elements made in code
      for (const event of ["timeupdate", "ended", "pause"]) {
        video.addEventListener(event, () => this.look());
      }
      return video;
    });
  }

  async load(addresses) {
    await Promise.all(this.elements.map(async (video, n) => {
      try {
        video.src = await local(addresses[n]);
        await ready(video);
      } catch {
        // Browsers that refuse a local copy play from the server, in ranges.
        STORE.delete(addresses[n]);
        video.src = addresses[n];
        await ready(video);
      }
    }));
    if (still()) this.stuck();
    else await this.play();
  }

  async play() {
    for (const video of this.elements) video.currentTime = 0;
    try {
      await Promise.all(this.elements.map((video) => video.play()));
    } catch {
      this.stuck();
    }
  }

  stop() {
    for (const video of this.elements) {
      video.pause();
      video.removeAttribute("src");
    }
  }

  look() {
    const shares = this.elements.map((video) => {
      if (!video.duration) return 0;
      let seen = 0;
      for (let n = 0; n < video.played.length; n += 1) {
        seen += video.played.end(n) - video.played.start(n);
      }
      // The last frame stands until the end, and clocks are read a few times a second.
      return Math.min(seen / Math.max(video.duration - 0.2, 0.1), 1);
    });
    this.changed(Math.min(...shares));
  }
}

const ready = (video) =>
  new Promise((resolve, reject) => {
    if (video.readyState >= 3) resolve();
    video.addEventListener("canplay", resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("cannot play")), { once: true });
  });
