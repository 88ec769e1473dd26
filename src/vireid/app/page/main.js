// Who sits here, which view is shown, and what the gallery holds.

import { ask, hasToken, keepToken } from "./api.js";
import { startAdding } from "./add.js";
import { showGallery } from "./gallery.js";
import { startSearching } from "./search.js";

const byId = (id) => document.getElementById(id);
const WORDS = "vireid-words"; // to say after the page was loaded anew
const views = [...document.querySelectorAll("nav button")];
const message = byId("message");

function say(text, kind = "note") {
  message.setAttribute("role", kind === "error" ? "alert" : "status");
  message.classList.toggle("error", kind === "error");
  message.textContent = text;
}

// What went wrong, in the server's words; a token that is no longer known leads back to the door.
function complain(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) openDoor(error.token ? "This token is not known." : "");
  else say(error.message, "error");
  if (error.status === undefined) console.error(error);
}

async function refresh() {
  const gallery = await (await ask("/v1/gallery")).json();
  const cameras = Object.keys(gallery.cameras).filter(Boolean);
  byId("summary").textContent = gallery.count === 0
    ? "The gallery is empty."
    : `${gallery.count.toLocaleString()} crops, ${cameras.length} cameras`;
  byId("known").replaceChildren(...cameras.map((name) => Object.assign(document.createElement("option"), { value: name })));
  document.dispatchEvent(new CustomEvent("gallery", { detail: gallery }));
  showGallery(gallery);
  return gallery;
}

function show(view) {
  for (const button of views) {
    byId(button.dataset.view).hidden = button.dataset.view !== view;
    if (button.dataset.view === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}

// Nothing of the gallery stays behind in the page: it is loaded anew, with the words for who comes next.
function openDoor(text = "") {
  keepToken(null);
  if (document.querySelector("nav").hidden) {
    byId("door").hidden = false;
    say(text, "error");
    byId("token").focus();
  } else {
    sessionStorage.setItem(WORDS, text);
    location.reload();
  }
}

async function enter() {
  const gallery = await refresh();
  byId("door").hidden = true;
  byId("leave").hidden = !hasToken();
  document.querySelector("nav").hidden = false;
  say(gallery.count === 0 ? "The gallery is empty: add crops first." : "");
  show(gallery.count === 0 ? "add" : "search");
  byId(gallery.count === 0 ? "crops" : "query").focus({ preventScroll: true }); // the door it was in is gone
}

for (const button of views) {
  button.addEventListener("click", () => {
    say("");
    show(button.dataset.view);
    refresh().catch(complain);
  });
}
byId("leave").addEventListener("click", () => openDoor());
byId("door").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  byId("token").value = "";
  enter().catch(complain);
});
byId("zone").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
startSearching({ say, complain });
startAdding({ say, complain, refresh });
// A drop beside its place would show the file instead of this page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
const words = sessionStorage.getItem(WORDS) ?? "";
sessionStorage.removeItem(WORDS);
enter().catch((error) => {
  complain(error);
  if (words) say(words, "error");
});
