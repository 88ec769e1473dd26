// A heat map over a crop: where the similarity comes from.

// Paints cells (rows of numbers) on a canvas, one pixel each, and stretches it over the picture.
export function drawHeat(canvas, cells, image) {
  const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  canvas.style.width = `${image.naturalWidth * scale}px`;
  canvas.style.height = `${image.naturalHeight * scale}px`;
  canvas.height = cells.length;
  canvas.width = cells[0].length;
  const most = Math.max(1e-6, ...cells.flat().map(Math.abs));
  const paint = canvas.getContext("2d");
  cells.forEach((row, y) => row.forEach((value, x) => {
    const share = value / most;
    // What speaks for the query is warm, what speaks against it is cold.
    paint.fillStyle = share > 0 ? `rgb(230 60 20 / ${0.75 * share})` : `rgb(30 90 230 / ${-0.75 * share})`;
    paint.fillRect(x, y, 1, 1);
  }));
}
