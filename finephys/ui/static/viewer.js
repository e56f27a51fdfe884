/* The stage viewer: one clock moves every card, the 3D space and the videos together.
   gr.HTML gives it the JSON of finephys/ui/payload.py; the figures come from finephys/ui/scene.py. */

import { Cards } from "./cards.js";
import { FRAMES } from "./drawing.js";
import { Mechanics } from "./mechanics.js";
import { Space } from "./space.js";

const FRONT = { yaw: 0.5, pitch: 0.2 };
const ARRIVALS = ["clip", "detected", "data_driven", "physics", "reprojected", "fused"];
// Fusions that are one of the two bodies; the others combine S_dd and S_pp.
const SINGLE_FUSIONS = { physics: "S_pp", "data-driven": "S_dd" };
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

class Viewer {
  constructor(element, props) {
    this.props = props;
    this.root = element.querySelector(".fp");
    this.value = null;
    this.frame = 0;
    this.playing = false;
    this.speed = 1;
    this.clock = 0;
    this.orbit = { ...FRONT };
    this.cards = new Cards(this);
    this.space = new Space(this);
    this.mechanics = new Mechanics(this);
    this.makeChips();
    this.listen();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  card(name) {
    return this.find(`[data-card="${name}"]`);
  }

  /* ---- input --------------------------------------------------------------- */

  listen() {
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.act(button.dataset.do, button);
    });
    const slider = this.find("input[type=range]");
    slider.addEventListener("input", () => {
      this.play(false);
      this.show(Number(slider.value));
    });
    this.find("select").addEventListener("change", (event) => {
      this.speed = Number(event.target.value);
    });
    document.addEventListener("keydown", (event) => this.key(event));
    for (const canvas of this.root.querySelectorAll("canvas.fp-turn")) this.turnable(canvas);
    new ResizeObserver(() => this.draw()).observe(this.root);
    new MutationObserver(() => this.space.redraw()).observe(document.body, {
      attributes: true,
      attributeFilter: ["class"],
    });
  }

  act(what, button) {
    const press = (on) => button.setAttribute("aria-pressed", on);
    if (what === "play") this.play(!this.playing);
    else if (what === "back") this.step(-1);
    else if (what === "next") this.step(1);
    else if (what === "toggle") press(this.space.toggle(button.dataset.stage));
    else if (what === "overlay") {
      press((this.cards.overlay = !this.cards.overlay));
      this.cards.draw();
    } else if (what === "path" || what === "side") {
      press((this.space[what] = !this.space[what]));
      this.space.redraw();
    } else if (what === "reset") {
      this.orbit = { ...FRONT };
      this.space.reset();
      this.draw();
    }
  }

  key(event) {
    if (!this.value || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = document.activeElement;
    const inside = this.root.contains(at);
    if (!inside && at && at !== document.body) return;
    // Controls keep their own keys: arrows move a slider, space presses a button.
    if (inside && at.matches(event.key === " " ? "button, select" : "input, select")) return;
    if (event.key === " ") this.play(!this.playing);
    else if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "ArrowRight") this.step(1);
    else return;
    event.preventDefault();
  }

  turnable(canvas) {
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      this.orbit.yaw += (event.clientX - last[0]) * 0.01;
      const pitch = this.orbit.pitch + (event.clientY - last[1]) * 0.01;
      this.orbit.pitch = Math.max(-1.5, Math.min(1.5, pitch));
      last = [event.clientX, event.clientY];
      this.draw();
    });
    const release = () => { last = null; };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
  }

  /* ---- the clock ------------------------------------------------------------------------ */

  play(on) {
    if (on === this.playing) return;
    this.playing = on;
    this.root.classList.toggle("fp-playing", on);
    this.root.dataset.playing = on;
    if (!on) return;
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing || !this.root.isConnected) return;
      const interval = (1000 * this.value.interval) / this.speed;
      // A hidden tab or a slow drawing does not make the body jump.
      this.clock += Math.min(now - before, interval);
      before = now;
      if (this.clock >= interval) {
        this.clock -= interval;
        this.show((this.frame + 1) % FRAMES);
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  step(by) {
    this.play(false);
    this.show((this.frame + by + FRAMES) % FRAMES);
  }

  show(frame) {
    this.frame = frame;
    this.root.dataset.frame = frame;
    this.find("input[type=range]").value = frame;
    this.find(".fp-count").textContent = `${frame + 1} / ${FRAMES}`;
    const { times } = this.value;
    this.find(".fp-moment").textContent = times ? ` \u00b7 ${times[frame].toFixed(2)} s` : "";
    this.draw();
  }

  draw() {
    this.cards.draw();
    this.space.draw();
    this.mechanics.draw();
  }

  /* ---- values from the server --------------------------------------------------------------------- */

  receive(value) {
    const before = this.value;
    const arrived = value ? arrivals(value) : [];
    const fresh = before?.run !== value?.run;
    const first = arrived.length > 0 && (fresh || this.root.dataset.stages === "");
    const moreToSee = this.root.dataset.stages !== arrived.join(" ");
    // A job that failed before its first value leaves the page empty.
    this.value = value && (arrived.length || !value.ended) ? value : null;
    this.root.classList.toggle("fp-full", Boolean(this.value));
    this.root.dataset.stages = arrived.join(" ");
    this.root.dataset.done = Boolean(value?.done);
    if (fresh) {
      this.play(false);
      this.cards.clear();
      this.makeVideos(value?.methods ?? []);
      this.space.clear();
      this.frame = 0;
    }
    if (!this.value) {
      this.play(false);
      return;
    }
    this.cards.take("clip", value.clip);
    for (const [method, video] of Object.entries(value.videos)) this.cards.take(videoCard(method), video.frames);
    this.caption();
    this.list();
    if (moreToSee) this.space.whole = true;
    this.show(this.frame);
    if (first && !calm()) this.play(true);
  }

  caption() {
    const { value } = this;
    const stopped = value.ended && !value.done;
    for (const card of this.root.querySelectorAll("[data-card]")) {
      const name = card.dataset.card;
      const simulated = name === "clip" && value.from === "action";
      const video = value.videos[card.dataset.method];
      const since = video ? video.since ?? undefined : value.since[name];
      const here = value[name] || video || simulated;
      card.classList.toggle("fp-waiting", !here && !stopped);
      let text = stopped ? "not reached" : "waiting";
      if (since !== undefined) text = `${since.toFixed(1)} s`;
      else if (simulated) text = "simulated action";
      else if (video) text = `${stopped ? "stopped at" : "denoising"} ${video.step.join(" / ")}`;
      const state = card.querySelector(".fp-state");
      state.textContent = text;
      state.title = since === undefined ? "" : "after Generate was pressed";
    }
    this.find(".fp-dynamics").textContent = value.dynamics || "";
    const single = SINGLE_FUSIONS[value.fusion];
    this.find('.fp-chips [data-stage="fused"]').textContent = single
      ? `fused (same as ${single})`
      : `fused (${value.fusion} of S_dd and S_pp)`;
    this.card("reprojected").querySelector("p").textContent = `${single ?? "the fused body"} projected back to 2D`;
    const simulated = value.from === "action";
    this.card("clip").querySelector("b").textContent = simulated ? "No clip" : "Input";
    this.card("detected").querySelector("p").textContent = simulated
      ? "projected by a simulated camera, 2D"
      : "detected in the frames, 2D";
  }

  /* Notes, downloads and times below the scene; all as text, never as HTML. */
  list() {
    const { value, props } = this;
    const make = (tag, text, fields = {}) => Object.assign(document.createElement(tag), { textContent: text }, fields);
    const fill = (selector, children) => this.find(selector).replaceChildren(...children);
    const notes = make("ul", "");
    notes.append(...value.notes.map((note) => make("li", note)));
    fill(".fp-notes", value.notes.length ? [make("b", "Notes"), notes] : []);
    const links = (method, short) => value.downloads.filter((file) => file.method === method).map((file) => {
      const name = file.address.split("/").pop();
      const link = make("a", short ? name.split(".").pop() : file.text, { href: file.address, download: name, title: file.text });
      link.dataset.download = file.key;
      return link;
    });
    fill(".fp-downloads", links("", false));
    for (const method of value.methods.length > 1 ? value.methods : []) {
      this.card(videoCard(method)).querySelector(".fp-links").replaceChildren(...links(method, true));
    }
    const seconds = Object.entries(value.seconds);
    const total = seconds.reduce((sum, [, spent]) => sum + spent, 0);
    fill(".fp-times", seconds.length ? [...seconds, ["total", total]].map(([name, spent]) => {
      const item = make("span", "");
      item.append(make("b", `${spent.toFixed(2)} s`), ` ${props.names[name] || name}`);
      return item;
    }) : []);
  }

  /* A card for each method's video; a single one is titled "Generated". */
  makeVideos(methods) {
    for (const old of this.root.querySelectorAll("[data-method]")) old.remove();
    const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
    for (const method of methods) {
      const card = make("figure", "fp-card", "");
      Object.assign(card.dataset, { card: videoCard(method), method });
      const single = method === this.props.usual ? "Generated" : `Generated, ${method}`;
      const title = methods.length > 1 ? method : single;
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Generated video, ${method}`);
      const caption = make("figcaption", "", "");
      caption.append(make("b", "", title), make("span", "fp-state", ""));
      card.append(caption, canvas);
      if (methods.length > 1) {
        const line = make("p", "", "");
        line.append(make("span", "", this.props.methods[method]), make("span", "fp-links", ""));
        card.append(line);
      }
      this.find(".fp-videos").append(card);
    }
    this.find(".fp-videos").classList.toggle("fp-compared", methods.length > 1);
  }

  makeChips() {
    const chips = Object.entries(this.props.stages).map(([name, stage]) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = stage.name;
      Object.assign(chip.dataset, { do: "toggle", stage: name });
      chip.style.setProperty("--chip", stage.color);
      chip.setAttribute("aria-pressed", this.space.shown.has(name));
      this.card(name)?.style.setProperty("--chip", stage.color);
      return chip;
    });
    this.find(".fp-chips").replaceChildren(...chips);
  }
}

const videoCard = (method) => `video ${method}`;

/* Stages that have arrived; "preview" with the first picture, "video" with the last video. */
function arrivals(value) {
  const videos = Object.values(value.videos);
  const whole = videos.filter((video) => video.since !== null);
  return [
    ...ARRIVALS.filter((name) => value[name]),
    ...(videos.length ? ["preview"] : []),
    ...(whole.length === value.methods.length ? ["video"] : []),
  ];
}

export function attach(element, props, watch) {
  let viewer = new Viewer(element, props);
  watch("value", () => {
    // Gradio may render the template again; the new elements are then attached.
    if (!viewer.root.isConnected) viewer = new Viewer(element, props);
    viewer.receive(props.value);
  });
  if (props.value) viewer.receive(props.value);
}
