/* A frame of the clip as a coloured grid: Plotly's 3D scenes have no pictures of their own. */

const COLUMNS = 72;
const ROWS = 54;

const small = document.createElement("canvas");
small.width = COLUMNS;
small.height = ROWS;

/* Vertices and triangles of a grid between two corners of the image plane, in Plotly's axes. */
export function gridOf([left, top, depth], [right, bottom]) {
  const grid = { x: [], y: [], z: [], i: [], j: [], k: [] };
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      grid.x.push(left + ((right - left) * column) / (COLUMNS - 1));
      grid.y.push(depth + 0.02);
      grid.z.push(-(top + ((bottom - top) * row) / (ROWS - 1)));
      if (row === ROWS - 1 || column === COLUMNS - 1) continue;
      const at = row * COLUMNS + column;
      grid.i.push(at, at + 1);
      grid.j.push(at + 1, at + COLUMNS + 1);
      grid.k.push(at + COLUMNS, at + COLUMNS);
    }
  }
  return grid;
}

/* Colours of the vertices from the part of a picture between two of its points, in pixels. */
export function gridColors(image, [left, top], [right, bottom]) {
  const context = small.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#cbd5e1";
  context.fillRect(0, 0, COLUMNS, ROWS);
  context.drawImage(image, left, top, right - left, bottom - top, 0, 0, COLUMNS, ROWS);
  const { data } = context.getImageData(0, 0, COLUMNS, ROWS);
  const colors = [];
  for (let at = 0; at < data.length; at += 4) colors.push(`rgb(${data[at]},${data[at + 1]},${data[at + 2]})`);
  return colors;
}
