/* The stage viewer: one clock moves every card, the 3D scene and the videos together.
   Fed by gr.HTML with the JSON of finephys/ui/payload.py; figures come from finephys/ui/scene.py. */
(function () {
  "use strict";

  const FRAMES = 16;
  // Limbs of the Human3.6M-17 skeleton, sent by the page with the figures.
  const SIDE_COLORS = { right: "#ec703c", left: "#4287f5", middle: "#8b8b98" };
  const PLOTLY = "files/assets/plotly-gl3d-4.1.1.min.js";
  const START_ORBIT = { yaw: 0.5, pitch: 0.2 };

  let plotlyLoading = null;
  function loadPlotly() {
    plotlyLoading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = PLOTLY;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error(PLOTLY + " did not load"));
      document.head.append(script);
    });
    return plotlyLoading;
  }

  function whenIdle(work) {
    if (window.requestIdleCallback) window.requestIdleCallback(work);
    else setTimeout(work, 1000);
  }

  function hasWebGL() {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  }

  class Viewer {
    constructor(element, props) {
      this.element = element;
      this.props = props;
      this.root = element.querySelector(".fp");
      this.value = null;
      this.frame = 0;
      this.playing = false;
      this.speed = 1;
      this.side = false;
      this.overlay = false;
      this.path = true;
      this.orbit = { ...START_ORBIT };
      this.pictures = {};
      this.shown = new Set(
        Object.entries(props.stages).filter(([, stage]) => stage.shown).map(([name]) => name),
      );
      this.webgl = hasWebGL();
      this.plotBusy = false;
      this.plotInSight = false;
      this.clock = 0;
      this.wire();
      this.chips();
    }

    find(selector) {
      return this.root.querySelector(selector);
    }

    card(name) {
      return this.find(`[data-card="${name}"]`);
    }

    /* ---- events ------------------------------------------------------------------------- */

    wire() {
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
      new IntersectionObserver((entries) => {
        this.plotInSight = entries.at(-1).isIntersecting;
        if (this.plotInSight) this.plot(false);
      }).observe(this.find(".fp-plot"));
      new MutationObserver(() => this.retheme()).observe(document.body, {
        attributes: true,
        attributeFilter: ["class"],
      });
    }

    act(what, button) {
      if (what === "play") this.play(!this.playing);
      if (what === "back") this.step(-1);
      if (what === "next") this.step(1);
      if (what === "overlay") {
        this.overlay = !this.overlay;
        button.setAttribute("aria-pressed", this.overlay);
        this.draw();
      }
      if (what === "path") {
        this.path = !this.path;
        button.setAttribute("aria-pressed", this.path);
        this.plot(true);
        this.draw();
      }
      if (what === "side") {
        this.side = !this.side;
        button.setAttribute("aria-pressed", this.side);
        this.plot(true);
        this.draw();
      }
      if (what === "reset") {
        this.orbit = { ...START_ORBIT };
        this.camera = null;
        this.plot(true);
        this.draw();
      }
      if (what === "toggle") {
        const stage = button.dataset.stage;
        if (!this.shown.delete(stage)) this.shown.add(stage);
        button.setAttribute("aria-pressed", this.shown.has(stage));
        this.plot(false);
        this.draw();
      }
    }

    key(event) {
      if (!this.value || event.ctrlKey || event.metaKey || event.altKey) return;
      const at = document.activeElement;
      const inside = this.root.contains(at);
      if (!inside && at !== document.body && at !== null) return;
      if (inside && at.matches("input, select")) {
        if (event.key !== " ") return;
      }
      if (inside && at.matches("button") && event.key === " ") return;
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

    /* ---- the clock ---------------------------------------------------------------------- */

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
      const value = this.value;
      this.find(".fp-count").textContent = `${frame + 1} / ${FRAMES}`;
      this.find(".fp-moment").textContent = value.times ? ` \u00b7 ${value.times[frame].toFixed(2)} s` : "";
      this.draw();
      this.plot(false);
    }

    /* ---- values ------------------------------------------------------------------------- */

    receive(value) {
      const before = this.value;
      this.value = value;
      this.root.classList.toggle("fp-full", Boolean(value));
      if (!value) {
        this.play(false);
        return;
      }
      const fresh = !before || before.run !== value.run;
      if (fresh) {
        this.pictures = {};
        if (this.webgl && this.find(".fp-plot").data) window.Plotly.purge(this.find(".fp-plot"));
        this.linked = false;
        this.frame = 0;
        this.camera = null;
        this.still = false;
      }
      this.take("clip", value.clip);
      this.take("video", value.video || value.preview);
      const stages = ["clip", "detected", "data_driven", "physics", "reprojected", "fused", "preview", "video"];
      this.root.dataset.stages = stages.filter((name) => value[name]).join(" ");
      this.root.dataset.done = Boolean(value.done);
      this.captions();
      this.extras();
      this.plot(!before || fresh || !before.reprojected !== !value.reprojected
        || !before.data_driven !== !value.data_driven || !before.done !== !value.done);
      this.show(this.frame);
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (fresh && !calm) this.play(true);
      // On a phone the results lie below all the controls.
      const top = this.root.getBoundingClientRect().top;
      if (fresh && before !== value && top > window.innerHeight * 0.8) {
        document.querySelector("#fp-status").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
      }
    }

    take(name, sources) {
      const known = this.pictures[name];
      if (!sources || (known && known.first === sources[0] && known.length === sources.length)) return;
      const images = sources.map((source) => {
        const image = new Image();
        image.onload = () => this.draw();
        image.src = source;
        return image;
      });
      this.pictures[name] = { first: sources[0], length: sources.length, images, old: known };
    }

    picture(name) {
      const set = this.pictures[name];
      if (!set) return null;
      const pick = (images) => images[Math.round((this.frame * (images.length - 1)) / (FRAMES - 1))];
      const image = pick(set.images);
      if (image.complete && image.naturalWidth) return image;
      return set.old ? pick(set.old.images) : null;
    }

    captions() {
      const value = this.value;
      const stopped = value.ended && !value.done;
      for (const card of this.root.querySelectorAll("[data-card]")) {
        const name = card.dataset.card;
        const here = Boolean(value[name]) || (name === "video" && value.preview);
        const since = value.since[name];
        card.classList.toggle("fp-waiting", !here && !stopped);
        card.classList.toggle("fp-here", Boolean(here));
        let text = here ? "" : stopped ? "not reached" : "waiting";
        if (since !== undefined) text = `${since.toFixed(1)} s`;
        if (name === "video" && value.preview && !value.video) text = stopped ? "stopped" : "denoising";
        card.querySelector(".fp-state").textContent = text;
      }
      const clip = this.card("clip").querySelector("b");
      clip.textContent = value.from === "action" ? "No clip" : "Input";
      if (value.from === "action") {
        this.card("clip").classList.remove("fp-waiting");
        this.card("clip").querySelector(".fp-state").textContent = "simulated action";
      }
    }

    extras() {
      const value = this.value;
      const list = (items) => {
        const ul = document.createElement("ul");
        for (const item of items) {
          const li = document.createElement("li");
          li.textContent = item;
          ul.append(li);
        }
        return ul;
      };
      const notes = this.find(".fp-notes");
      notes.replaceChildren();
      if (value.notes.length) {
        const title = document.createElement("b");
        title.textContent = "Worth knowing";
        notes.append(title, list(value.notes));
      }
      const downloads = this.find(".fp-downloads");
      downloads.replaceChildren();
      for (const [key, address] of Object.entries(value.downloads)) {
        const link = document.createElement("a");
        link.href = address;
        link.download = address.split("/").pop();
        link.dataset.download = key;
        link.textContent = this.props.files[key];
        downloads.append(link);
      }
      const times = this.find(".fp-times");
      times.replaceChildren();
      const parts = Object.entries(value.seconds);
      if (parts.length) {
        const total = parts.reduce((sum, [, seconds]) => sum + seconds, 0);
        for (const [name, seconds] of [...parts, ["total", total]]) {
          const item = document.createElement("span");
          item.innerHTML = "<b></b> <i></i>";
          item.firstChild.textContent = `${seconds.toFixed(2)} s`;
          item.lastChild.textContent = this.props.names[name] || name;
          times.append(item);
        }
      }
    }

    chips() {
      const chips = this.find(".fp-chips");
      chips.replaceChildren();
      for (const [name, stage] of Object.entries(this.props.stages)) {
        const chip = document.createElement("button");
        chip.type = "button";
        chip.dataset.do = "toggle";
        chip.dataset.stage = name;
        chip.style.setProperty("--chip", stage.color);
        chip.setAttribute("aria-pressed", this.shown.has(name));
        chip.textContent = stage.name;
        chips.append(chip);
        const card = this.card(name);
        if (card) card.style.setProperty("--chip", stage.color);
      }
    }

    /* ---- canvases ----------------------------------------------------------------------- */

    context(canvas, ratio) {
      const width = canvas.clientWidth;
      if (!width) return null;
      const height = canvas.classList.contains("fp-plot-flat") ? canvas.clientHeight : Math.round(width / ratio);
      const dense = Math.min(window.devicePixelRatio || 1, 2);
      if (!canvas.classList.contains("fp-plot-flat")) canvas.style.height = `${height}px`;
      if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
        canvas.width = Math.round(width * dense);
        canvas.height = Math.round(height * dense);
      }
      const context = canvas.getContext("2d");
      context.setTransform(dense, 0, 0, dense, 0, 0);
      context.clearRect(0, 0, width, height);
      context.lineCap = "round";
      return { context, width, height };
    }

    draw() {
      if (!this.value) return;
      for (const name of ["clip", "video"]) this.drawPicture(name);
      for (const name of ["detected", "reprojected"]) this.drawFlat(name);
      for (const name of ["data_driven", "physics"]) this.drawBody(name);
      if (!this.webgl) this.drawScene();
    }

    drawPicture(name) {
      const canvas = this.card(name).querySelector("canvas");
      const area = this.context(canvas, 4 / 3);
      if (!area) return;
      const image = this.picture(name);
      if (name === "clip" && image && this.overlay && this.value.detected) {
        this.flat("detected", area, true);
      } else if (image) {
        const fit = this.fit(image.naturalWidth, image.naturalHeight, area);
        area.context.imageSmoothingQuality = "high";
        area.context.drawImage(image, fit.left, fit.top, fit.width, fit.height);
      } else if (name === "clip" && this.value.from === "action" && this.value.detected) {
        this.flat("detected", area, false);
      }
    }

    drawFlat(name) {
      const area = this.context(this.card(name).querySelector("canvas"), 4 / 3);
      if (area && this.value[name]) this.flat(name, area, true);
    }

    flat(name, area, withPicture) {
      const [width, height] = this.value.size;
      const fit = this.fit(width, height, area);
      const image = withPicture ? this.picture("clip") : null;
      if (image) {
        area.context.globalAlpha = name === "reprojected" ? 0.35 : 0.8;
        area.context.drawImage(image, fit.left, fit.top, fit.width, fit.height);
        area.context.globalAlpha = 1;
      } else {
        area.context.strokeStyle = "rgba(128,138,156,0.35)";
        area.context.strokeRect(fit.left + 0.5, fit.top + 0.5, fit.width - 1, fit.height - 1);
      }
      const pose = this.value[name];
      const scale = fit.width / width;
      const points = pose.xy[this.frame].map(([x, y]) => [fit.left + x * scale, fit.top + y * scale]);
      area.context.save();
      area.context.beginPath();
      area.context.rect(fit.left, fit.top, fit.width, fit.height);
      area.context.clip();
      this.limbs(area.context, points, pose.score[this.frame], Math.max(2, area.width / 130));
      area.context.restore();
      if (pose.interpolated[this.frame]) {
        area.context.fillStyle = "rgba(15,23,42,0.75)";
        area.context.fillRect(fit.left, fit.top, 112, 20);
        area.context.fillStyle = "#fff";
        area.context.font = "12px system-ui, sans-serif";
        area.context.fillText("between frames", fit.left + 8, fit.top + 14);
      }
    }

    fit(width, height, area) {
      const scale = Math.min(area.width / width, area.height / height);
      return {
        width: width * scale,
        height: height * scale,
        left: (area.width - width * scale) / 2,
        top: (area.height - height * scale) / 2,
      };
    }

    limbs(context, points, score, width, color) {
      this.props.limbs.forEach(([parent, child, side]) => {
        const trust = score ? Math.min(score[parent], score[child]) : 1;
        if (trust <= 0) return;
        context.globalAlpha = 0.25 + 0.75 * trust;
        context.strokeStyle = color || SIDE_COLORS[side];
        context.lineWidth = width;
        context.beginPath();
        context.moveTo(...points[parent]);
        context.lineTo(...points[child]);
        context.stroke();
      });
      context.globalAlpha = 1;
    }

    project(point) {
      const { yaw, pitch } = this.orbit;
      const [x, y, z] = point;
      const right = x * Math.cos(yaw) + z * Math.sin(yaw);
      const away = -x * Math.sin(yaw) + z * Math.cos(yaw);
      return [right, y * Math.cos(pitch) - away * Math.sin(pitch), away];
    }

    drawBody(name) {
      const area = this.context(this.card(name).querySelector("canvas"), 4 / 3);
      const pose = this.value[name];
      if (!area || !pose) return;
      let reach = 0;
      for (const frame of pose.xyz) for (const p of frame) reach = Math.max(reach, Math.hypot(...p));
      const scale = (Math.min(area.width, area.height) * 0.46) / reach;
      this.ground(area, scale * reach * 0.9);
      const points = pose.xyz[this.frame].map((point) => {
        const [x, y] = this.project(point);
        return [area.width / 2 + x * scale, area.height / 2 + y * scale];
      });
      this.limbs(area.context, points, null, Math.max(2, area.width / 130));
    }

    ground(area, radius) {
      // A disc under the body makes the turning readable.
      area.context.strokeStyle = "rgba(128,138,156,0.35)";
      area.context.lineWidth = 1;
      area.context.beginPath();
      area.context.ellipse(area.width / 2, area.height / 2 + radius * Math.cos(this.orbit.pitch),
        radius * 0.75, Math.abs(radius * 0.75 * Math.sin(this.orbit.pitch)), 0, 0, 2 * Math.PI);
      area.context.stroke();
    }

    /* ---- the scene ---------------------------------------------------------------------- */

    // Points of a stage in camera axes; the two flat stages lie on the image plane.
    stagePoints(name, frame) {
      const value = this.value;
      const pose = value[name];
      if (!pose || !value.plane) return null;
      if (pose.xyz) {
        const root = this.path ? pose.root[frame] : [0, 0, 0];
        return pose.xyz[frame].map(([x, y, z]) => [x + root[0], y + root[1], z + root[2]]);
      }
      const { scale, depth } = value.plane;
      const origin = this.path ? value.plane.origin : pose.xy[frame][0];
      return pose.xy[frame].map(([x, y]) => [(x - origin[0]) * scale, (y - origin[1]) * scale, depth]);
    }

    stageNames() {
      return Object.keys(this.props.stages);
    }

    bounds(names) {
      const low = [Infinity, Infinity, Infinity];
      const high = [-Infinity, -Infinity, -Infinity];
      for (const name of names) {
        for (let frame = 0; frame < FRAMES; frame++) {
          for (const point of this.stagePoints(name, frame) || []) {
            for (let axis = 0; axis < 3; axis++) {
              low[axis] = Math.min(low[axis], point[axis]);
              high[axis] = Math.max(high[axis], point[axis]);
            }
          }
        }
      }
      return { low: low.map((v) => v - 0.12), high: high.map((v) => v + 0.12) };
    }

    planePoints() {
      const flat = ["detected", "reprojected"].filter((name) => this.value[name]);
      const { low, high } = this.bounds(flat);
      const depth = this.value.plane.depth;
      return [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]], [low[0], low[1]]]
        .map(([x, y]) => [x, y, depth]);
    }

    trace(stage) {
      const axes = { x: [], y: [], z: [] };
      if (stage === "plane") {
        for (const [x, y, z] of this.planePoints()) {
          axes.x.push(x); axes.y.push(z); axes.z.push(-y);
        }
        return axes;
      }
      const points = this.stagePoints(stage, this.frame);
      if (!points) return axes;
      const score = this.value[stage].score;
      for (const [parent, child] of this.props.limbs) {
        // A limb nobody saw keeps its place in the line, so that colours stay with their limbs.
        const unseen = score && Math.min(score[this.frame][parent], score[this.frame][child]) <= 0;
        for (const joint of [parent, child]) {
          if (unseen) {
            axes.x.push(null); axes.y.push(null); axes.z.push(null);
            continue;
          }
          axes.x.push(points[joint][0]); axes.y.push(points[joint][2]); axes.z.push(-points[joint][1]);
        }
        axes.x.push(null); axes.y.push(null); axes.z.push(null);
      }
      return axes;
    }

    // Draw the Plotly scene; `whole` makes it anew (other mode, other bounds), else traces move.
    plot(whole) {
      if (!this.value) return;
      if (!this.value.plane) {
        this.find(".fp-hint").textContent = "Appears with S_dd.";
        return;
      }
      this.find(".fp-hint").textContent = this.webgl
        ? "Drag to turn, scroll to come closer. The 2D stages lie on the image plane."
        : "This browser has no WebGL: drawn flat. Drag to turn.";
      this.root.classList.toggle("fp-flat", !this.webgl);
      if (!this.webgl) return;
      this.plotWhole = this.plotWhole || whole;
      this.plotAgain = this.plotBusy;
      if (this.plotBusy || !this.plotInSight) return;
      this.plotBusy = true;
      const began = performance.now();
      this.plotNow()
        .catch((error) => {
          console.error(error);
          this.webgl = false;
          this.plot(false);
          this.draw();
        })
        .finally(() => {
          // On a machine that draws slowly the scene takes half of the time, not all of it.
          const rest = performance.now() - began;
          setTimeout(() => {
            this.plotBusy = false;
            if (this.plotAgain) requestAnimationFrame(() => this.plot(false));
          }, rest);
        });
    }

    async plotNow() {
      const Plotly = await loadPlotly();
      const div = this.find(".fp-plot");
      if (this.plotWhole || !div.data) {
        this.plotWhole = false;
        const name = this.side ? (div.clientWidth < 900 ? "two" : "four") : "together";
        const figure = structuredClone(this.props.figures[name]);
        for (const trace of figure.data) {
          Object.assign(trace, this.trace(trace.meta));
          if (!this.side) trace.visible = this.visible(trace.meta);
        }
        this.frameScenes(figure.layout, div);
        await Plotly.react(div, figure.data, figure.layout, {
          displayModeBar: false, responsive: true, scrollZoom: true,
        });
        if (!this.linked) {
          this.linked = true;
          div.on("plotly_relayout", (change) => this.follow(Plotly, div, change));
          div.on("plotly_relayouting", (change) => this.follow(Plotly, div, change));
        }
        return;
      }
      const moved = div.data.map((trace) => this.trace(trace.meta));
      const visible = div.data.map((trace) => this.side || this.visible(trace.meta));
      await Plotly.restyle(div, {
        x: moved.map((m) => m.x), y: moved.map((m) => m.y), z: moved.map((m) => m.z), visible,
      });
    }

    visible(stage) {
      if (stage === "plane") return this.shown.has("detected") || this.shown.has("reprojected");
      return this.shown.has(stage);
    }

    frameScenes(layout, div) {
      const { low, high } = this.bounds(this.stageNames());
      const span = low.map((v, axis) => high[axis] - v);
      const longest = Math.max(...span);
      const styles = getComputedStyle(this.root);
      const grid = styles.getPropertyValue("--fp-grid").trim();
      for (const key of Object.keys(layout).filter((name) => name.startsWith("scene"))) {
        const scene = layout[key];
        scene.aspectmode = "manual";
        // Plotly fits the height of a scene; one that is narrower than high is drawn smaller.
        const width = (scene.domain.x[1] - scene.domain.x[0]) * div.clientWidth;
        const height = (scene.domain.y[1] - scene.domain.y[0]) * div.clientHeight;
        const size = 1.7 * Math.min(1, width / height);
        scene.aspectratio = {
          x: (size * span[0]) / longest, y: (size * span[2]) / longest, z: (size * span[1]) / longest,
        };
        scene.xaxis.range = [low[0], high[0]];
        scene.yaxis.range = [low[2], high[2]];
        scene.zaxis.range = [-high[1], -low[1]];
        for (const axis of [scene.xaxis, scene.yaxis, scene.zaxis]) axis.gridcolor = grid;
        if (this.camera) scene.camera = this.camera;
      }
      layout.uirevision = `${this.value.run} ${this.side} ${this.camera ? "" : "fresh"}`;
    }

    // Turning one scene turns them all. The turned one is set too: otherwise the next drawing would
    // put back the camera its layout still holds.
    follow(Plotly, div, change) {
      const key = Object.keys(change).find((name) => name.endsWith(".camera"));
      if (!key || this.following) return;
      this.camera = change[key];
      const scenes = Object.keys(div.layout).filter((name) => /^scene\d*$/.test(name));
      if (scenes.length < 2) return;
      this.following = true;
      Plotly.relayout(div, Object.fromEntries(scenes.map((name) => [`${name}.camera`, this.camera])))
        .finally(() => { this.following = false; });
    }

    retheme() {
      if (this.value && this.webgl) this.plot(true);
      this.draw();
    }

    // Without WebGL: the same scene on a 2D canvas.
    drawScene() {
      const canvas = this.find(".fp-plot-flat");
      if (!this.value.plane) return;
      const area = this.context(canvas, 1);
      if (!area) return;
      const names = this.side ? ["detected", "data_driven", "physics", "reprojected"] : null;
      const { low, high } = this.bounds(this.stageNames());
      const middle = low.map((v, axis) => (v + high[axis]) / 2);
      const reach = Math.hypot(...low.map((v, axis) => high[axis] - v)) / 2;
      const boxes = names
        ? names.map((name, index) => ({ names: [name], x: index % 2, y: Math.floor(index / 2), size: 0.5 }))
        : [{ names: this.stageNames().filter((name) => this.shown.has(name)), x: 0, y: 0, size: 1 }];
      for (const box of boxes) {
        const width = area.width * box.size;
        const height = area.height * box.size;
        const scale = (Math.min(width, height) * 0.62) / reach;
        const place = (point) => {
          const [x, y] = this.project(point.map((v, axis) => v - middle[axis]));
          return [box.x * width + width / 2 + x * scale, box.y * height + height / 2 + y * scale];
        };
        area.context.strokeStyle = "rgba(128,138,156,0.6)";
        area.context.lineWidth = 1;
        area.context.beginPath();
        this.planePoints().map(place).forEach((p, i) => (i ? area.context.lineTo(...p) : area.context.moveTo(...p)));
        area.context.stroke();
        for (const name of box.names) {
          const points = this.stagePoints(name, this.frame);
          if (points) this.limbs(area.context, points.map(place), null, 3, this.props.stages[name].color);
        }
      }
    }
  }

  window.FinePhysViewer = {
    attach(element, props, watch) {
      let viewer = new Viewer(element, props);
      if (viewer.webgl) whenIdle(loadPlotly);
      watch("value", () => {
        // Gradio draws the template again on some updates; then the new elements are taken over.
        if (!viewer.root.isConnected) viewer = new Viewer(element, props);
        viewer.receive(props.value);
      });
      if (props.value) viewer.receive(props.value);
    },
  };
})();
