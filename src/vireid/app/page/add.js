// Adding many crops: in small requests, each of which is there whole or not at all.

import { askForm } from "./api.js";
import { faultOf, takesFiles } from "./drop.js";

const AT_ONCE = 16; // images in a request
const BYTES = 8 * 2 ** 20; // and their bytes: a slow line must carry them in the time that the server grants
const ATTEMPTS = 20;

const form = document.querySelector("#add form");
const refused = document.getElementById("refused");
const KEPT = document.getElementById("chosen").textContent;
const bar = form.querySelector("progress");
const [main, stop] = [form.querySelector("button.main"), document.getElementById("stop")];

let files = [];
let running = null;

export function startAdding({ say, complain, refresh }) {
  takesFiles(document.getElementById("crops"), (chosen) => {
    if (running) return;
    files = chosen;
    main.disabled = !files.length;
    refused.replaceChildren();
    say("");
    tellChosen();
  });
  stop.addEventListener("click", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    running = new AbortController();
    busy(true);
    try {
      const told = await addAll(facts(), say);
      files = [];
      tellChosen();
      say(told);
      await refresh();
    } catch (error) {
      if (error.name === "AbortError") say("Stopped. What was added stays; adding the same files again adds the rest.");
      complain(error);
    } finally {
      running = null;
      busy(false);
    }
  });
}

function tellChosen() {
  const count = `${files.length} ${files.length === 1 ? "file" : "files"} chosen.`;
  document.getElementById("chosen").textContent = files.length ? count : KEPT;
}

// What is said of the crops holds for all of a run, so it cannot be changed meanwhile.
function busy(yes) {
  for (const input of form.querySelectorAll("input, select")) input.disabled = yes;
  main.disabled = yes || !files.length;
  stop.hidden = bar.hidden = !yes;
}

// What is known of all crops, as the API names it.
function facts() {
  const { camera, time, modality } = form.elements;
  const known = [["camera", camera.value], ["modality", modality.value]];
  return time.value ? [...known, ["time", new Date(time.value).toISOString()]] : known;
}

async function addAll(known, say) {
  refused.replaceChildren();
  bar.max = files.length;
  bar.value = 0;
  let [added, there] = [0, 0];
  const good = files.filter(usable);
  bar.value = files.length - good.length;
  for (const part of parts(good)) {
    const counts = await addPart(part, known, say);
    added += counts.added;
    there += counts.known;
    bar.value += part.length;
  }
  return `${added} added, ${there} were there already, ${refused.children.length} refused.`;
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
async function addPart(part, known, say) {
  try {
    return await send(part, known, say);
  } catch (error) {
    if (error.status !== 413 && error.status !== 422) throw error;
    if (part.length === 1) {
      note(`${part[0].name}: ${error.message}`);
      return { added: 0, known: 0 };
    }
    const counts = { added: 0, known: 0 };
    for (const file of part) {
      const one = await addPart([file], known, say);
      counts.added += one.added;
      counts.known += one.known;
    }
    return counts;
  }
}

// A server that is busy says when to come back; one that still is after so many times has another trouble.
async function send(part, known, say) {
  const { signal } = running;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const counts = await askForm("/v1/gallery", [...known, ...part.map((file) => ["images", file])], { signal });
      say("");
      return counts;
    } catch (error) {
      if (error.status !== 503 || error.retry === null || attempt === ATTEMPTS) throw error;
      say("The server is busy; waiting.");
      await new Promise((done) => setTimeout(done, 1000 * error.retry));
      signal.throwIfAborted();
    }
  }
}
