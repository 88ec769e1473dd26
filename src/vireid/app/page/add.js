// Adding many crops: in small requests, each of which is there whole or not at all.

import { askForm } from "./api.js";
import { faultOf, takesFiles } from "./drop.js";

const AT_ONCE = 16; // images in a request
const BYTES = 32 * 2 ** 20; // and their bytes, well below what the server takes

const form = document.querySelector("#add form");
const refused = document.getElementById("refused");
const bar = form.querySelector("progress");
const [main, stop] = [form.querySelector("button.main"), document.getElementById("stop")];

let files = [];
let running = null;

export function startAdding({ say, complain, refresh }) {
  takesFiles(document.getElementById("crops"), (chosen) => {
    files = chosen;
    main.disabled = !files.length;
    refused.replaceChildren();
    say("");
    document.getElementById("chosen").textContent = `${files.length} ${files.length === 1 ? "file" : "files"} chosen.`;
  });
  stop.addEventListener("click", () => running?.abort());
  document.addEventListener("leave", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      say(await addAll());
      files = [];
      main.disabled = true;
      document.getElementById("chosen").textContent = "";
    } catch (error) {
      if (error.name === "AbortError") say("Stopped. What was added stays; adding the same files again adds the rest.");
      complain(error);
    }
    await refresh().catch(complain);
  });
}

async function addAll() {
  running = new AbortController();
  refused.replaceChildren();
  main.disabled = true;
  stop.hidden = bar.hidden = false;
  bar.max = files.length;
  let [added, known, done] = [0, 0, 0];
  try {
    for (const part of parts(files.filter(usable))) {
      const counts = await addPart(part);
      added += counts.added;
      known += counts.known;
      bar.value = done += part.length;
    }
  } finally {
    main.disabled = false;
    stop.hidden = bar.hidden = true;
  }
  return `${added} added, ${known} were there already, ${refused.children.length} refused.`;
}

function usable(file) {
  const fault = faultOf(file);
  if (fault) note(fault);
  return !fault;
}

function note(text) {
  refused.append(Object.assign(document.createElement("li"), { textContent: text }));
}

function* parts(all) {
  let part = [];
  let bytes = 0;
  for (const file of all) {
    if (part.length && (part.length === AT_ONCE || bytes + file.size > BYTES)) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(file);
    bytes += file.size;
  }
  if (part.length) yield part;
}

// One image that cannot be read refuses the whole request: then each of it goes alone, and the bad one is named.
async function addPart(part) {
  try {
    return await send(part);
  } catch (error) {
    if (error.status !== 413 && error.status !== 422) throw error;
    if (part.length === 1) {
      note(`${part[0].name}: ${error.message}`);
      return { added: 0, known: 0 };
    }
    const counts = { added: 0, known: 0 };
    for (const file of part) {
      const one = await addPart([file]);
      counts.added += one.added;
      counts.known += one.known;
    }
    return counts;
  }
}

async function send(part) {
  const { camera, time, modality } = form.elements;
  const fields = [["camera", camera.value], ["modality", modality.value], ...part.map((file) => ["images", file])];
  if (time.value) fields.push(["time", new Date(time.value).toISOString()]);
  for (;;) {
    try {
      return await askForm("/v1/gallery", fields, { signal: running.signal });
    } catch (error) {
      if (error.status !== 503) throw error;
      await new Promise((done) => setTimeout(done, 1000)); // the server is busy, and says when to come back
      running.signal.throwIfAborted();
    }
  }
}
