// A heat map over a crop: where the similarity comes from.

const FAINT = 0.03; // of similarity: a map that never reaches this much stays pale

// Paints cells (rows of numbers) on a canvas, one pixel each; returns in words what it shows.
export function drawHeat(canvas, cells) {
  canvas.height = cells.length;
  canvas.width = cells[0].length;
  const all = cells.flat();
  const most = Math.max(FAINT, ...all.map(Math.abs));
  const paint = canvas.getContext("2d");
  cells.forEach((row, y) => row.forEach((value, x) => {
    const share = value / most;
    // What speaks for the query is warm, what speaks against it is cold.
    paint.fillStyle = share > 0 ? `rgb(230 60 20 / ${0.75 * share})` : `rgb(30 90 230 / ${-0.75 * share})`;
    paint.fillRect(x, y, 1, 1);
  }));
  return `Covering the reddest part lowers the similarity by ${Math.max(0, ...all).toFixed(3)}.`;
}

// Stretches the canvas over what is seen of the picture, which need not fill its place.
export function layOver(canvas, image) {
  const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  canvas.style.width = `${image.naturalWidth * scale}px`;
  canvas.style.height = `${image.naturalHeight * scale}px`;
}
