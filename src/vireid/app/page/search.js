// A question and its answer: what to search for, among what, and the hits as a rank sheet.

import { askForm, askJson, picture } from "./api.js";
import { faultOf, takesFiles } from "./drop.js";
import { drawHeat, layOver } from "./heat.js";

const form = document.getElementById("question");
const place = document.getElementById("query");
const sheet = document.querySelector("#found ol");
const told = document.getElementById("told");
const back = document.getElementById("back");
const WARNING = told.textContent;
const PICTURES = 6; // that are asked for at once

let query = null; // { file, shown } or { id, shown }; shown is the address of its picture, empty if it has none
let before = []; // queries that led here
let running = new AbortController();
let say, complain;

export function startSearching(shell) {
  ({ say, complain } = shell);
  takesFiles(place, takeFile, { paste: () => !document.getElementById("search").hidden });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search().catch(complain);
  });
  back.addEventListener("click", () => goTo(before.pop()));
  document.addEventListener("gallery", (event) => offer(event.detail));
  addEventListener("resize", () => {
    for (const canvas of sheet.querySelectorAll("canvas:not([hidden])")) layOver(canvas, canvas.previousElementSibling);
  });
}

// Only what the gallery has can be chosen; what is ticked stays ticked.
function offer({ cameras, rates }) {
  const ticked = new Set(chosen("cameras"));
  document.querySelector("#cameras div").replaceChildren(
    ...Object.entries(cameras).filter(([name]) => name).map(([name, count]) => {
      const input = Object.assign(document.createElement("input"), {
        type: "checkbox", name: "cameras", value: name, checked: ticked.has(name),
      });
      const label = document.createElement("label");
      label.className = "tick";
      label.append(input, ` ${name} `, hint(count.toLocaleString()));
      return label;
    }),
  );
  document.getElementById("cameras").hidden = Object.keys(cameras).filter(Boolean).length < 2;
  const { fmr } = form.elements;
  const kept = fmr.value;
  fmr.replaceChildren(fmr.options[0], ...rates.map((rate) => new Option(`1 in ${Math.round(1 / rate).toLocaleString()}`, rate)));
  fmr.value = rates.includes(Number(kept)) ? kept : "";
  document.getElementById("rates").hidden = !rates.length;
}

function hint(text) {
  return Object.assign(document.createElement("span"), { className: "hint", textContent: text });
}

function takeFile(files) {
  if (!files.length) return;
  const fault = files.length > 1 ? "Search for one image at a time." : faultOf(files[0]);
  if (fault) {
    say(fault, "error");
    return;
  }
  goTo({ file: files[0], shown: URL.createObjectURL(files[0]) }, query);
}

function goTo(next, from = null) {
  if (from) before.push(from);
  query = next;
  back.hidden = !before.length;
  const image = place.querySelector("img");
  image.src = query.shown;
  image.hidden = !query.shown;
  place.querySelector("p").hidden = Boolean(query.shown);
  form.querySelector("button.main").disabled = false;
  search().catch(complain);
}

function chosen(name) {
  return [...form.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value);
}

// What was asked for, as the API names it; texts of a form for an image, an object for a crop.
function options() {
  const { k, of, modality, fmr, after, before: until, rerank } = form.elements;
  const moment = (input) => (input.value ? new Date(input.value).toISOString() : "");
  const asked = { k: k.valueAsNumber, rerank: rerank.checked, cameras: chosen("cameras") };
  if (query.file) asked.modality = modality.value;
  for (const [name, value] of [["of", of.value], ["fmr", Number(fmr.value) || ""], ["after", moment(after)], ["before", moment(until)]]) {
    if (value) asked[name] = value;
  }
  return asked;
}

function fields(asked) {
  return Object.entries(asked).flatMap(([name, value]) => [].concat(value).map((each) => [name, String(each)]));
}

async function search() {
  if (!query || !form.reportValidity()) return;
  running.abort(); // an answer to an earlier question is of no use
  running = new AbortController();
  const { signal } = running;
  const asked = options();
  say("");
  form.setAttribute("aria-busy", "true");
  const started = performance.now();
  try {
    const answer = query.file
      ? await askForm("/v1/search", [...fields(asked), ["image", query.file]], { signal })
      : await askJson("/v1/search", { ...asked, id: query.id }, { signal });
    tell(answer, asked, performance.now() - started);
    // What was searched for, as it was then: choices may change while its hits are looked at.
    await show(answer.hits, { ...query, modality: answer.modality }, signal);
  } catch (error) {
    if (error.name !== "AbortError") clear();
    throw error;
  } finally {
    if (!signal.aborted) form.removeAttribute("aria-busy");
  }
}

function clear() {
  for (const image of sheet.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  sheet.replaceChildren();
  told.textContent = WARNING;
  document.getElementById("asked").textContent = "";
}

function tell(answer, asked, milliseconds) {
  clear();
  const guessed = query.file && asked.modality === "auto" ? ", as its colours tell" : "";
  document.getElementById("asked").textContent = `Searched as ${answer.modality}${guessed}.`;
  const count = answer.hits.length;
  const none = asked.fmr ? "Nobody reaches that threshold." : "No crop fits these choices.";
  const order = asked.rerank ? " Sorted by mutual neighbours, not by score." : "";
  told.textContent = count
    ? `${count} ${count === 1 ? "crop" : "crops"} in ${(milliseconds / 1000).toFixed(2)} s.${order} ${WARNING}`
    : none;
}

async function show(hits, asked, signal) {
  sheet.replaceChildren(...hits.map((hit, place) => card(hit, place + 1, asked, signal)));
  const waiting = [...sheet.children].map((item, place) => [item, hits[place]]);
  const load = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await fill(...next, signal);
  };
  await Promise.all(Array.from({ length: PICTURES }, load));
}

function card(hit, rank, asked, signal) {
  const item = document.getElementById("hit").content.cloneNode(true).firstElementChild;
  const part = (selector) => item.querySelector(selector);
  part("img").alt = `Hit ${rank}`;
  part(".again").setAttribute("aria-label", `Search on with hit ${rank}, score ${hit.score.toFixed(3)}`);
  part(".why").setAttribute("aria-label", `Why hit ${rank}?`);
  part(".rank").textContent = `${rank}.`;
  part(".score b").textContent = hit.score.toFixed(3);
  part(".score b").title = "Cosine similarity, -1 to 1";
  if (hit.probability !== null) {
    part(".chance").textContent = `${Math.round(100 * hit.probability)} %`;
    part(".chance").title = "Probability that it is the same person, if before looking it was as likely as not";
  }
  part("meter").value = Math.max(0, hit.score);
  part(".where").append(hit.camera ? `camera ${hit.camera}` : "unknown camera", " ", badge(hit.modality));
  part(".when").textContent = hit.time ? new Date(hit.time).toLocaleString() : "unknown time";
  part(".when").title = hit.time ?? "";
  part(".again").addEventListener("click", () => searchOn(hit, signal).catch(complain));
  part(".why").addEventListener("click", () => explain(item, hit, asked, signal).catch(complain));
  return item;
}

function badge(modality) {
  return Object.assign(document.createElement("span"), { className: `badge ${modality}`, textContent: modality });
}

async function searchOn(hit, signal) {
  let shown = ""; // a crop without a picture can be searched for all the same
  try {
    shown = await picture(hit.thumbnail, { signal }); // its own: those of the sheet go with the sheet
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) throw error;
  }
  goTo({ id: hit.id, shown }, query);
  place.focus({ preventScroll: true }); // the hit that had it goes with the sheet
  scrollTo({ top: 0, behavior: "smooth" });
}

// One picture that cannot be had is no reason to hide the others.
async function fill(item, hit, signal) {
  try {
    item.querySelector("img").src = await picture(hit.thumbnail, { signal });
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) throw error;
    item.querySelector(".picture").replaceChildren(error.status === 404 ? "no picture is kept" : "not loaded");
    item.querySelector(".why").hidden = true;
  }
}

// The heat map of a hit, on and off.
async function explain(item, hit, asked, signal) {
  const canvas = item.querySelector("canvas");
  const button = item.querySelector(".why");
  if (!canvas.dataset.drawn) {
    button.disabled = true;
    try {
      await item.querySelector("img").decode();
      if (asked.file && !asked.embedding) {
        const texts = [["image", asked.file], ["modality", asked.modality]];
        asked.embedding = (await askForm("/v1/embed", texts, { signal })).embedding;
      }
      const which = asked.file ? { embedding: asked.embedding } : { id: asked.id };
      const { cells } = await askJson(`/v1/gallery/${encodeURIComponent(hit.id)}/heat`, which, { signal });
      button.title = drawHeat(canvas, cells);
      canvas.dataset.drawn = "yes";
      canvas.hidden = true;
    } finally {
      button.disabled = false;
    }
  }
  canvas.hidden = !canvas.hidden;
  layOver(canvas, item.querySelector("img"));
  button.setAttribute("aria-pressed", String(!canvas.hidden));
}
