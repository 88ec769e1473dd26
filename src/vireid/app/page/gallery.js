// What the gallery holds.

const section = document.getElementById("gallery");

function cell(kind, content) {
  const made = document.createElement(kind);
  made.append(content);
  return made;
}

export function showGallery(gallery) {
  const day = (time) => (time ? new Date(time).toLocaleString() : "unknown");
  const facts = [
    ["Crops", gallery.count.toLocaleString()],
    ["First", day(gallery.first)],
    ["Last", day(gallery.last)],
    ["Model", gallery.model],
    ["Numbers in an embedding", gallery.dimensions],
    ["Thresholds", gallery.rates.length ? "calibrated" : "not calibrated"],
  ];
  section.querySelector("dl").replaceChildren(...facts.flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
  const rows = Object.entries(gallery.cameras).sort((a, b) => b[1] - a[1]).map(([name, count]) => {
    const meter = Object.assign(document.createElement("meter"), { max: gallery.count, value: count });
    const row = document.createElement("tr");
    row.append(cell("th", name || "unknown"), cell("td", meter), cell("td", count.toLocaleString()));
    return row;
  });
  section.querySelector("tbody").replaceChildren(...rows);
}
