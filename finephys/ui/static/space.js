/* Every stage in one 3D scene, or side by side in four (Plotly); a 2D canvas without WebGL.
   Values are in camera axes (x right, y down, z away); Plotly gets (x, z, -y), so that z is up. */

import { FRAMES, GUIDE, area, drawLimbs, project } from "./drawing.js";
import { gridOf, gridColors } from "./picture.js";

const PLOTLY = "files/assets/plotly-gl3d-4.1.1.min.js";
const FLAT = ["detected", "reprojected"];
const SIDE_BY_SIDE = ["detected", "data_driven", "physics", "reprojected"];
const MARGIN = 0.12; // metres around everything that moves
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };
const NOTCH = 1.15; // how much closer or farther one notch of the wheel takes the camera
const NEAREST = 0.3; // smallest and largest distance of the camera, in units of the scene
const FARTHEST = 12;

let loading = null;
function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = PLOTLY;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error(`${PLOTLY} did not load`));
    document.head.append(script);
  });
  return loading;
}

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

function whenIdle(work) {
  if (window.requestIdleCallback) window.requestIdleCallback(work);
  else setTimeout(work, 1000);
}

export class Space {
  constructor(viewer) {
    this.viewer = viewer;
    this.div = viewer.find(".fp-plot");
    this.canvas = viewer.find(".fp-plot-flat");
    this.shown = new Set(Object.entries(viewer.props.stages).filter(([, s]) => s.shown).map(([n]) => n));
    this.shown.add("picture");
    this.side = false;
    this.path = true;
    this.camera = null; // null: from the front
    this.webgl = hasWebGL();
    this.inSight = false;
    this.busy = false;
    this.again = false;
    this.whole = true;
    if (this.webgl) whenIdle(() => this.warmUp());
    viewer.root.classList.toggle("fp-flat", !this.webgl);
    new IntersectionObserver((entries) => {
      this.inSight = entries.at(-1).isIntersecting;
      this.draw();
    }).observe(this.div);
    this.listen();
  }

  /* The wheel scrolls the page; it zooms when the scene has the focus or a modifier is held. */
  listen() {
    this.div.tabIndex = 0;
    this.div.addEventListener("pointerdown", () => this.div.focus({ preventScroll: true }), true);
    // Captured, so that Plotly, which would always keep the page from scrolling, never sees it.
    this.div.addEventListener("wheel", (event) => {
      event.stopPropagation();
      const held = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
      if (!held && !this.div.contains(document.activeElement)) return;
      event.preventDefault();
      this.zoom(Math.sign(event.deltaY || event.deltaX));
    }, { capture: true, passive: false });
    this.div.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.div.blur();
      else if (event.key === "+" || event.key === "=") this.zoom(-1);
      else if (event.key === "-") this.zoom(1);
    });
  }

  front() {
    return structuredClone(this.viewer.props.figures.together.layout.scene.camera);
  }

  /* Move the camera a notch away from the point it looks at (+1), or towards it (-1). */
  zoom(notches) {
    const camera = structuredClone(this.camera ?? this.front());
    const center = camera.center ?? { x: 0, y: 0, z: 0 };
    const axes = ["x", "y", "z"];
    const before = Math.hypot(...axes.map((axis) => camera.eye[axis] - center[axis]));
    const after = Math.min(Math.max(before * NOTCH ** notches, NEAREST), FARTHEST);
    for (const axis of axes) {
      camera.eye[axis] = center[axis] + (camera.eye[axis] - center[axis]) * (after / before);
    }
    this.camera = camera;
    this.applyCamera();
  }

  reset() {
    this.camera = null;
    this.applyCamera();
  }

  /* Give every scene the camera; changes that come while Plotly is at work are applied together. */
  async applyCamera() {
    if (!this.div._fullLayout || this.applying) {
      this.applyAgain = true;
      return;
    }
    this.applying = true;
    try {
      do {
        this.applyAgain = false;
        await this.moveScenes(this.camera ?? this.front());
      } while (this.applyAgain);
    } finally {
      this.applying = false;
    }
  }

  async moveScenes(camera) {
    const Plotly = await loadPlotly();
    this.sent = JSON.stringify(camera.eye);
    const scenes = Object.keys(this.div.layout).filter((name) => /^scene\d*$/.test(name));
    const change = scenes.map((name) => [`${name}.camera`, structuredClone(camera)]);
    await Plotly.relayout(this.div, Object.fromEntries(change));
  }

  /* Draw a speck of everything while the page is idle: a first scene costs a second or more. */
  async warmUp() {
    const Plotly = await loadPlotly();
    if (this.busy || this.div.data) return;
    const figure = structuredClone(this.viewer.props.figures.together);
    const speck = { x: [0, 1, 0], y: [0, 0, 1], z: [0, 1, 1], visible: true };
    for (const trace of figure.data) Object.assign(trace, speck);
    Object.assign(figure.data.find((trace) => trace.meta === "picture"), {
      i: [0], j: [1], k: [2], vertexcolor: ["#ffffff", "#ffffff", "#ffffff"],
    });
    this.div.style.opacity = 0; // hides the speck
    await Plotly.newPlot(this.div, figure.data, figure.layout, CONFIG);
  }

  /* Another job: nothing of the last one is kept. */
  clear() {
    this.camera = null;
    this.whole = true;
  }

  toggle(stage) {
    if (!this.shown.delete(stage)) this.shown.add(stage);
    this.whole ||= stage === "picture"; // its grid is made with the scene
    this.draw();
    return this.shown.has(stage);
  }

  /* Draw the whole scene again: its mode, bounds or colours changed. */
  redraw() {
    this.whole = true;
    this.draw();
  }

  /* Move the skeletons to the present frame. */
  draw() {
    const { value } = this.viewer;
    if (!value) return;
    this.div.style.visibility = value.plane ? "visible" : "hidden";
    const hint = this.viewer.find(".fp-hint");
    if (!value.plane) {
      hint.textContent = "Appears with S_dd.";
      return;
    }
    hint.textContent = this.webgl
      ? "Drag to turn; click, then scroll to zoom. Space plays, arrow keys step. Left limbs are lighter."
      : "This browser has no WebGL: drawn flat. Drag to turn.";
    if (!this.webgl) {
      this.drawFlat();
      return;
    }
    this.again = this.busy;
    if (this.busy || !this.inSight) return;
    this.busy = true;
    const began = performance.now();
    this.plot().catch((error) => {
      console.error(error);
      this.webgl = false;
      this.viewer.root.classList.add("fp-flat");
    }).finally(() => {
      // A machine that draws slowly spends half of its time on the scene, and a fifth while its
      // processor may be the one that generates the video.
      requestAnimationFrame(() => {
        const running = !value.done && !value.ended;
        setTimeout(() => {
          this.busy = false;
          if (this.again || !this.webgl) this.draw();
        }, (performance.now() - began) * (running ? 4 : 1));
      });
    });
  }

  async plot() {
    const Plotly = await loadPlotly();
    if (this.whole || !this.div.data) {
      this.whole = false;
      const name = this.side ? (this.div.clientWidth < 900 ? "two" : "four") : "together";
      const figure = structuredClone(this.viewer.props.figures[name]);
      for (const trace of figure.data) {
        Object.assign(trace, this.trace(trace.meta, true), { visible: this.visible(trace.meta) });
      }
      this.frame(figure.layout);
      await Plotly.react(this.div, figure.data, figure.layout, CONFIG);
      this.div.style.opacity = 1;
      if (this.div._fullLayout.width !== this.div.clientWidth) await Plotly.Plots.resize(this.div);
      if (!this.linked) {
        this.linked = true;
        for (const turned of ["plotly_relayout", "plotly_relayouting"]) {
          this.div.on(turned, (change) => this.follow(change));
        }
      }
      return;
    }
    const moved = this.div.data.map((trace) => this.trace(trace.meta));
    // Plotly leaves alone what is undefined: only the picture has colours that move.
    await Plotly.restyle(this.div, {
      x: moved.map((m) => m.x),
      y: moved.map((m) => m.y),
      z: moved.map((m) => m.z),
      vertexcolor: moved.map((m) => m.vertexcolor),
      visible: this.div.data.map((trace) => this.visible(trace.meta)),
    });
  }

  /* Turning one scene turns them all. The turned one is set too: otherwise the next drawing would
     put back the camera its layout still holds. */
  follow(change) {
    const key = Object.keys(change).find((name) => name.endsWith(".camera"));
    if (!key || JSON.stringify(change[key].eye) === this.sent) return; // set by moveScenes
    this.camera = change[key];
    if (this.side) this.applyCamera();
  }

  visible(stage) {
    if (stage === "picture") return this.shown.has("picture") && Boolean(this.viewer.cards.picture("clip"));
    if (this.side) return true;
    return stage === "plane" ? FLAT.some((name) => this.shown.has(name)) : this.shown.has(stage);
  }

  /* Ranges, proportions and camera of every scene of a layout. */
  frame(layout) {
    const { low, high } = this.bounds(Object.keys(this.viewer.props.stages));
    const span = low.map((least, axis) => high[axis] - least);
    const longest = Math.max(...span);
    const grid = getComputedStyle(this.viewer.root).getPropertyValue("--fp-grid").trim();
    for (const name of Object.keys(layout).filter((key) => key.startsWith("scene"))) {
      const scene = layout[name];
      // Plotly fits the height of a scene; one that is narrower than high is drawn smaller.
      const width = (scene.domain.x[1] - scene.domain.x[0]) * this.div.clientWidth;
      const height = (scene.domain.y[1] - scene.domain.y[0]) * this.div.clientHeight;
      const unit = (1.5 * Math.min(1, width / height)) / longest;
      scene.aspectmode = "manual";
      scene.aspectratio = { x: unit * span[0], y: unit * span[2], z: unit * span[1] };
      scene.xaxis.range = [low[0], high[0]];
      scene.yaxis.range = [low[2], high[2]];
      scene.zaxis.range = [-high[1], -low[1]];
      for (const axis of [scene.xaxis, scene.yaxis, scene.zaxis]) axis.gridcolor = grid;
      scene.camera = structuredClone(this.camera ?? this.front());
    }
    // With a new revision Plotly takes the camera of the layout instead of keeping its own.
    this.revision = (this.revision ?? 0) + 1;
    layout.uirevision = this.revision;
  }

  /* Joints of a stage at a frame, the 2D stages' on the image plane; null without the stage. */
  points(stage, frame) {
    const { value } = this.viewer;
    const pose = value[stage];
    if (!pose) return null;
    if (pose.xyz) {
      const root = this.path ? pose.root[frame] : [0, 0, 0];
      return pose.xyz[frame].map((point) => point.map((v, axis) => v + root[axis]));
    }
    const { scale, depth, origin } = value.plane;
    const from = this.path ? origin : pose.xy[frame][0];
    return pose.xy[frame].map(([x, y]) => [(x - from[0]) * scale, (y - from[1]) * scale, depth]);
  }

  bounds(stages) {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (const stage of stages) {
      const score = this.viewer.value[stage]?.score;
      for (let frame = 0; frame < FRAMES; frame++) {
        (this.points(stage, frame) || []).forEach((point, joint) => {
          if (score && score[frame][joint] <= 0) return;
          for (let axis = 0; axis < 3; axis++) {
            low[axis] = Math.min(low[axis], point[axis]);
            high[axis] = Math.max(high[axis], point[axis]);
          }
        });
      }
    }
    return { low: low.map((v) => v - MARGIN), high: high.map((v) => v + MARGIN) };
  }

  /* Outline of the part of the image plane that the 2D stages cover. */
  plane() {
    const { low, high } = this.bounds(FLAT.filter((name) => this.viewer.value[name]));
    const depth = this.viewer.value.plane.depth;
    return [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]], [low[0], low[1]]]
      .map(([x, y]) => [x, y, depth]);
  }

  /* The clip's frame on the plane: its grid when the scene is drawn, then its colours alone. */
  picture(whole) {
    const image = this.viewer.cards.picture("clip");
    if (!image || !this.visible("picture")) return {};
    const [low, , high] = this.plane();
    const { plane, detected } = this.viewer.value;
    const origin = this.path ? plane.origin : detected.xy[this.viewer.frame][0];
    const zoom = image.naturalWidth / this.viewer.value.size[0];
    const pixels = (point) => [0, 1].map((axis) => (point[axis] / plane.scale + origin[axis]) * zoom);
    const colors = { vertexcolor: gridColors(image, pixels(low), pixels(high)) };
    return whole ? { ...gridOf(low, high), ...colors } : colors;
  }

  trace(stage, whole = false) {
    if (stage === "picture") return this.picture(whole);
    const axes = { x: [], y: [], z: [] };
    const add = (point) => {
      axes.x.push(point ? point[0] : null);
      axes.y.push(point ? point[2] : null);
      axes.z.push(point ? -point[1] : null);
    };
    if (stage === "plane") {
      this.plane().forEach(add);
      return axes;
    }
    const { frame, props, value } = this.viewer;
    const points = this.points(stage, frame);
    if (!points) return axes;
    const score = value[stage].score?.[frame];
    for (const [parent, child] of props.limbs) {
      // An undetected limb keeps its place in the line, so that colours stay with their limbs.
      const unseen = score && Math.min(score[parent], score[child]) <= 0;
      add(unseen ? null : points[parent]);
      add(unseen ? null : points[child]);
      add(null);
    }
    return axes;
  }

  drawFlat() {
    const space = area(this.canvas);
    if (!space) return;
    const { orbit, frame, props, value } = this.viewer;
    const stages = Object.keys(props.stages);
    const { low, high } = this.bounds(stages);
    const middle = low.map((least, axis) => (least + high[axis]) / 2);
    const reach = Math.hypot(...low.map((least, axis) => high[axis] - least)) / 2;
    const boxes = this.side
      ? SIDE_BY_SIDE.map((name, at) => ({ stages: [name], column: at % 2, row: at >> 1, part: 2 }))
      : [{ stages: stages.filter((name) => this.shown.has(name)), column: 0, row: 0, part: 1 }];
    for (const box of boxes) {
      const width = space.width / box.part;
      const height = space.height / box.part;
      const scale = (Math.min(width, height) * 0.62) / reach;
      const place = (point) => {
        const [x, y] = project(point.map((v, axis) => v - middle[axis]), orbit);
        return [(box.column + 0.5) * width + x * scale, (box.row + 0.5) * height + y * scale];
      };
      space.context.strokeStyle = GUIDE;
      space.context.lineWidth = 1;
      space.context.beginPath();
      for (const point of this.plane()) space.context.lineTo(...place(point));
      space.context.stroke();
      for (const name of box.stages) {
        const points = this.points(name, frame);
        if (!points) continue;
        const { color } = props.stages[name];
        drawLimbs(space.context, props.limbs, points.map(place), value[name].score?.[frame], 3, color);
      }
    }
  }
}
