/* Shared by the cards and the flat scene: canvases, projection, limbs. */

export const FRAMES = 16;

// As in the mp4 of the stages: right side orange, left side blue, trunk grey.
const SIDE_COLORS = { right: "#ec703c", left: "#4287f5", middle: "#8b8b98" };

export const GUIDE = "rgba(128,138,156,0.4)";

/* The drawing context of a canvas at the screen's density, cleared; null while it is not shown.
   With `ratio` the canvas takes that width : height, otherwise the height its style gives. */
export function area(canvas, ratio) {
  const width = canvas.clientWidth;
  const height = ratio ? Math.round(width / ratio) : canvas.clientHeight;
  if (!width || !height) return null;
  if (ratio) canvas.style.height = `${height}px`;
  const dense = Math.min(window.devicePixelRatio || 1, 2);
  const pixels = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.clearRect(0, 0, width, height);
  context.lineCap = "round";
  return { context, width, height };
}

/* Largest placement of a width x height picture in an area. */
export function fit(width, height, space) {
  const scale = Math.min(space.width / width, space.height / height);
  return {
    scale,
    width: width * scale,
    height: height * scale,
    left: (space.width - width * scale) / 2,
    top: (space.height - height * scale) / 2,
  };
}

/* Camera axes (x right, y down, z away) -> x, y on the screen of a viewer turned by yaw and pitch. */
export function project([x, y, z], { yaw, pitch }) {
  const right = x * Math.cos(yaw) + z * Math.sin(yaw);
  const away = z * Math.cos(yaw) - x * Math.sin(yaw);
  return [right, y * Math.cos(pitch) - away * Math.sin(pitch)];
}

/* Draw limbs between points; fainter where the score is low, not at all where it is 0. */
export function drawLimbs(context, limbs, points, score, width, color) {
  for (const [parent, child, side] of limbs) {
    const trust = score ? Math.min(score[parent], score[child]) : 1;
    if (trust <= 0) continue;
    context.globalAlpha = 0.25 + 0.75 * trust;
    context.strokeStyle = color || SIDE_COLORS[side];
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(...points[parent]);
    context.lineTo(...points[child]);
    context.stroke();
  }
  context.globalAlpha = 1;
}
