// The videos of a page: fetched, played together, watched for those that do not load or stop.

import { make } from "./elements.js";
import { NotLoaded, PATIENCE, forget, local } from "./loading.js";
import { hurry, pause } from "./server.js";

const SLOW = 6000; // milliseconds of loading after which the rater is told
const CHECK = 1000; // milliseconds between two looks at what plays
const NO_SIGN = 2000; // milliseconds in which a browser that plays by itself begins to

export const lessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Attributes:
//   elements: the video elements, in the order of the names;
//   watched: the smallest share seen of any of them, 0 to 1;
//   needsPress: whether the browser plays them only after a press.
export class Videos {
  // `names`: "left", "right" or "only"; `size`: width and height; `changed()` is called whenever
  // an attribute or a getter has a new value.
  constructor(names, size, changed) {
    this.changed = changed;
    this.stopped = false;
    this.watched = 0;
    this.needsPress = false;
    this.wanted = !lessMotion(); // whether they play as soon as they can
    this.videos = names.map((name) => this.video(name, size));
    this.elements = this.videos.map((video) => video.element);
  }

  video(name, [width, height]) {
    const element = make("video", {
      loop: true, playsinline: true, preload: "auto", width, height,
      disablepictureinpicture: true, disableremoteplayback: true,
    });
    element.muted = true; // the attribute alone does not count for elements made in code
    // trouble: "", "load", "play" (it cannot be decoded) or "stop" (it stands still); status:
    // HTTP status of the last refusal, else 0; moved: when it last played on.
    const video = {
      name, element, address: "", loaded: false, share: 0, trouble: "", status: 0, moved: 0,
      hurried: false,
    };
    for (const event of ["timeupdate", "ended", "pause"]) {
      element.addEventListener(event, () => {
        video.moved = performance.now();
        this.look();
      });
    }
    element.addEventListener("playing", () => {
      video.moved = performance.now();
      if (this.elements.some((each) => each.paused) || !this.needsPress) return;
      this.needsPress = false;
      this.changed();
    });
    element.addEventListener("error", () => {
      if (video.loaded && !this.stopped) this.restore(video, "play");
    });
    return video;
  }

  // Resolves when all videos are loaded, and starts them where the browser allows it.
  async load(addresses) {
    this.began = performance.now();
    this.checked = this.began;
    this.timer = setInterval(() => this.check(), CHECK);
    this.videos.forEach((video, n) => { video.address = addresses[n]; });
    await Promise.all(this.videos.map((video) => this.fetch(video)));
    if (this.stopped) return;
    if (this.wanted) this.play();
    else this.needsPress = true;
    this.changed();
  }

  // Fetches the videos once more from the server, past every cache.
  async refetch() {
    for (const video of this.videos) forget(video.address);
    await Promise.all(this.videos.map((video) => this.fetch(video, "reload")));
    if (!this.stopped && this.wanted) this.play();
  }

  // Tries until a video is loaded.
  async fetch(video, cache) {
    video.loaded = false;
    for (let wait = 1000; !this.stopped; wait = Math.min(wait * 2, 15000)) {
      try {
        await this.attach(video, cache);
        if (this.stopped) return;
        video.loaded = true;
        video.trouble = "";
        video.moved = performance.now();
        this.changed();
        return;
      } catch (error) {
        if (this.stopped) return;
        if (!(error instanceof NotLoaded) && !(error instanceof NotPlayed)) throw error;
        video.trouble = error instanceof NotLoaded ? "load" : "play";
        video.status = error.status ?? 0;
        this.changed();
        if (video.hurried) video.hurried = false;
        else await pause(wait);
      }
    }
  }

  async attach(video, cache) {
    const copy = await local(video.address, (share) => {
      video.share = share;
      this.changed();
    }, cache);
    if (this.stopped) return;
    try {
      await playable(video.element, copy, NO_SIGN);
    } catch (error) {
      if (!(error instanceof NotPlayed)) throw error;
      // Some browsers refuse a local copy and play from the server, in ranges.
      forget(video.address);
      await playable(video.element, video.address, PATIENCE);
    }
  }

  // Gets back a video that broke off while it played.
  async restore(video, trouble) {
    video.trouble = trouble;
    video.loaded = false;
    this.changed();
    forget(video.address);
    await this.fetch(video);
    if (!this.stopped && this.ready && this.wanted) this.play();
  }

  // Fetches what is not loaded now, instead of waiting for a fetch to fail or for the next try.
  retry() {
    for (const video of this.videos.filter((each) => !each.loaded)) {
      video.hurried = true;
      forget(video.address);
    }
    hurry();
  }

  async play() {
    this.wanted = true;
    if (!this.ready) return;
    const waiting = setTimeout(() => this.askForPress(), NO_SIGN);
    try {
      await Promise.all(this.elements.map((element) => {
        element.currentTime = 0;
        return element.play();
      }));
    } catch (error) {
      // Refused until a press. Errors and stops break it off too; they are noticed elsewhere.
      if (error.name === "NotAllowedError") this.askForPress();
    } finally {
      clearTimeout(waiting);
    }
  }

  askForPress() {
    if (this.stopped) return;
    this.needsPress = true;
    this.changed();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    for (const video of this.videos) {
      if (!video.loaded) forget(video.address);
      video.element.pause();
      video.element.removeAttribute("src");
      video.element.load(); // gives its connection back
    }
  }

  get ready() { return this.videos.every((video) => video.loaded); }

  get slow() { return !this.ready && performance.now() - this.began > SLOW; }

  // The share of all videos together that is loaded.
  get share() {
    return this.videos.reduce((sum, video) => sum + video.share, 0) / this.videos.length;
  }

  // What is wrong with which videos: {kind, names, status}, or null.
  get trouble() {
    const failing = this.videos.filter((video) => video.trouble);
    if (!failing.length) return null;
    const [{ trouble, status }] = failing;
    return { kind: trouble, names: failing.map((video) => video.name), status };
  }

  look() {
    const shares = this.elements.map((element) => {
      if (!element.duration) return 0;
      let seen = 0;
      for (let n = 0; n < element.played.length; n += 1) {
        seen += element.played.end(n) - element.played.start(n);
      }
      // The last frame stays until the end, and clocks are read a few times a second.
      return Math.min(seen / Math.max(element.duration - 0.2, 0.1), 1);
    });
    this.watched = Math.min(...shares);
    this.changed();
  }

  // Notices a video that should play and does not move. Browsers stop videos and timers of hidden
  // pages and sleeping devices: the time that they were away does not count.
  check() {
    const now = performance.now();
    const away = document.hidden || now - this.checked > 3 * CHECK;
    this.checked = now;
    for (const video of this.videos) {
      if (away || this.needsPress || video.element.paused) video.moved = now;
      else if (video.loaded && now - video.moved > PATIENCE) this.restore(video, "stop");
    }
    if (this.slow) this.changed();
  }
}

class NotPlayed extends Error {}

// Resolves when a source can play, or when it gives no sign: some browsers wait for a press. A
// source on the way from the server that brings no data has failed.
const playable = (element, source, patience) =>
  new Promise((resolve, reject) => {
    const end = (act, value) => {
      clearTimeout(timer);
      element.removeEventListener("canplay", done);
      element.removeEventListener("error", fail);
      element.removeEventListener("progress", moved);
      act(value);
    };
    const done = () => end(resolve);
    const fail = () => end(reject, new NotPlayed());
    const silent = () => {
      const loading = element.networkState === HTMLMediaElement.NETWORK_LOADING;
      if (loading && !source.startsWith("blob:")) end(reject, new NotLoaded(0));
      else done();
    };
    let timer = setTimeout(silent, patience);
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(silent, patience);
    };
    element.addEventListener("canplay", done);
    element.addEventListener("error", fail);
    element.addEventListener("progress", moved);
    element.src = source;
  });
