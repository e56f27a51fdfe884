/* PhysNet's estimates: rows over the 16 frames, with the current frame marked. */

import { FRAMES, GUIDE, area } from "./drawing.js";

const COLORS = { flight: "#059669", left: "#4287f5", right: "#ec703c", line: "#7c3aed" };
const BAND = 20;
const CURVE = 44;
const LABEL = 122;

/* key in the value, label, unit; bands are 0 to 1, curves have their own range */
const ROWS = [
  { key: "flight", name: "in flight", color: COLORS.flight, height: BAND },
  { key: "left", name: "left foot down", color: COLORS.left, height: BAND },
  { key: "right", name: "right foot down", color: COLORS.right, height: BAND },
  { key: "height", name: "centre of mass", unit: "m", color: COLORS.line, height: CURVE },
  { key: "spin", name: "angular momentum", unit: "m\u00b2/s", color: COLORS.line, height: CURVE },
  { key: "error", name: "expected error", unit: "mm", color: COLORS.line, height: CURVE },
];

export class Mechanics {
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = viewer.find(".fp-mechanics canvas");
    this.words = viewer.find(".fp-mechanics p");
  }

  draw() {
    const known = this.viewer.value?.mechanics;
    this.viewer.find(".fp-mechanics").hidden = !known;
    if (!known) return;
    this.canvas.style.height = `${ROWS.reduce((sum, row) => sum + row.height, 0)}px`;
    const space = area(this.canvas);
    if (!space) return;
    const { context, width, height } = space;
    const text = getComputedStyle(this.canvas).color;
    const cell = (width - LABEL) / FRAMES;
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    let top = 0;
    for (const row of ROWS) {
      context.fillStyle = text;
      context.fillText(row.name, 0, top + row.height / 2);
      if (row.unit) this.curve(context, known[row.key], row, LABEL, top, cell, text);
      else this.band(context, known[row.key], row, LABEL, top, cell);
      top += row.height;
    }
    context.strokeStyle = text;
    context.lineWidth = 1;
    context.strokeRect(LABEL + this.viewer.frame * cell + 0.5, 0.5, cell - 1, height - 1);
    this.words.textContent = this.describe(known);
  }

  band(context, values, row, left, top, cell) {
    values.forEach((value, frame) => {
      context.fillStyle = GUIDE;
      context.fillRect(left + frame * cell + 1, top + row.height / 2 - 1, cell - 2, 2);
      context.globalAlpha = value;
      context.fillStyle = row.color;
      context.fillRect(left + frame * cell + 1, top + 3, cell - 2, row.height - 6);
      context.globalAlpha = 1;
    });
  }

  curve(context, values, row, left, top, cell, text) {
    const low = Math.min(...values);
    const range = Math.max(Math.max(...values) - low, 1e-6);
    const inner = row.height - 14;
    context.strokeStyle = row.color;
    context.lineWidth = 2;
    context.beginPath();
    values.forEach((value, frame) => {
      const y = top + 7 + inner * (1 - (value - low) / range);
      context[frame ? "lineTo" : "moveTo"](left + (frame + 0.5) * cell, y);
    });
    context.stroke();
    const value = values[this.viewer.frame];
    context.fillStyle = text;
    context.textAlign = "right";
    context.fillText(`${value.toFixed(row.unit === "mm" ? 0 : 2)} ${row.unit}`, left - 6, top + row.height / 2 + 14);
    context.textAlign = "left";
  }

  /* The same in words, for screen readers. */
  describe(known) {
    const { frame } = this.viewer;
    const where = known.flight[frame] > 0.5 ? "in flight" : "not in flight";
    return `Frame ${frame + 1}: ${where}; centre of mass ${known.height[frame].toFixed(2)} m above its lowest; `
      + `angular momentum ${known.spin[frame].toFixed(2)} m\u00b2/s per kg of body mass; `
      + `expected joint error ${known.error[frame].toFixed(0)} mm.`;
  }
}
