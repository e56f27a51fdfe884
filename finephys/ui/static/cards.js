/* The cards: input, generated video, and one for each stage. */

import { FRAMES, GUIDE, area, drawLimbs, fit, project } from "./drawing.js";

const RATIO = 4 / 3;

export class Cards {
  constructor(viewer) {
    this.viewer = viewer;
    this.overlay = false;
    this.clear();
  }

  clear() {
    this.pictures = {};
  }

  /* Keep the frames of a video; the old ones stay visible until the new ones are decoded. */
  take(name, sources) {
    const known = this.pictures[name];
    if (!sources || (known && known.first === sources[0] && known.images.length === sources.length)) return;
    const images = sources.map((source) => {
      const image = new Image();
      image.src = source;
      return image;
    });
    const before = known && (known.whole ? known.images : known.before);
    const taken = { first: sources[0], images, before, whole: false };
    this.pictures[name] = taken;
    Promise.all(images.map((image) => image.decode())).then(() => {
      taken.whole = true;
      taken.before = null;
      if (name === "clip") this.viewer.space.redraw();
      this.draw();
    }, (error) => console.error(error));
  }

  picture(name) {
    const taken = this.pictures[name];
    const images = taken && (taken.whole ? taken.images : taken.before);
    if (!images) return null;
    return images[Math.round((this.viewer.frame * (images.length - 1)) / (FRAMES - 1))];
  }

  draw() {
    if (!this.viewer.value) return;
    this.drawPicture("clip");
    for (const method of this.viewer.value.methods) this.drawPicture(`video ${method}`);
    for (const name of ["detected", "reprojected"]) this.drawFlat(name);
    for (const name of ["data_driven", "physics"]) this.drawBody(name);
  }

  space(name) {
    return area(this.viewer.card(name).querySelector("canvas"), RATIO);
  }

  drawPicture(name) {
    const space = this.space(name);
    if (!space) return;
    const { value } = this.viewer;
    const image = this.picture(name);
    const simulated = name === "clip" && value.from === "action";
    if (name === "clip" && value.detected && (simulated || (image && this.overlay))) {
      this.flat("detected", space, image ? 1 : 0);
    } else if (image) {
      const place = fit(image.naturalWidth, image.naturalHeight, space);
      space.context.imageSmoothingQuality = "high";
      space.context.drawImage(image, place.left, place.top, place.width, place.height);
    }
  }

  drawFlat(name) {
    const space = this.space(name);
    if (space && this.viewer.value[name]) this.flat(name, space, name === "detected" ? 0.85 : 0.35);
  }

  /* A 2D stage over the clip's frame, which is drawn at an opacity of `strength`. */
  flat(name, { context, ...space }, strength) {
    const { value, frame, props } = this.viewer;
    const place = fit(...value.size, space);
    const image = this.picture("clip");
    if (image && strength) {
      context.globalAlpha = strength;
      context.drawImage(image, place.left, place.top, place.width, place.height);
      context.globalAlpha = 1;
    } else {
      context.strokeStyle = GUIDE;
      context.strokeRect(place.left + 0.5, place.top + 0.5, place.width - 1, place.height - 1);
    }
    const pose = value[name];
    const points = pose.xy[frame].map(([x, y]) => [place.left + x * place.scale, place.top + y * place.scale]);
    context.save();
    context.beginPath();
    context.rect(place.left, place.top, place.width, place.height);
    context.clip();
    drawLimbs(context, props.limbs, points, pose.score[frame], Math.max(2, space.width / 130));
    context.restore();
    if (pose.interpolated[frame]) {
      context.fillStyle = "rgba(15,23,42,0.75)";
      context.fillRect(place.left, place.top, 112, 20);
      context.fillStyle = "#fff";
      context.font = "12px system-ui, sans-serif";
      context.fillText("interpolated", place.left + 8, place.top + 14);
    }
  }

  /* A 3D stage around its own pelvis, as large as its card. */
  drawBody(name) {
    const space = this.space(name);
    const pose = this.viewer.value[name];
    if (!space || !pose) return;
    const { orbit, frame, props } = this.viewer;
    const reach = Math.max(...pose.xyz.flat().map((point) => Math.hypot(...point)));
    const scale = (Math.min(space.width, space.height) * 0.46) / reach;
    const middle = [space.width / 2, space.height / 2];
    // A ring at the lowest height of the body makes the rotation readable.
    const lowest = Math.max(...pose.xyz.flat().map((point) => point[1]));
    const ring = reach * 0.6 * scale;
    space.context.strokeStyle = GUIDE;
    space.context.beginPath();
    space.context.ellipse(middle[0], middle[1] + lowest * scale * Math.cos(orbit.pitch),
      ring, Math.abs(ring * Math.sin(orbit.pitch)), 0, 0, 2 * Math.PI);
    space.context.stroke();
    const points = pose.xyz[frame].map((point) => {
      const [x, y] = project(point, orbit);
      return [middle[0] + x * scale, middle[1] + y * scale];
    });
    drawLimbs(space.context, props.limbs, points, null, Math.max(2, space.width / 130));
  }
}
