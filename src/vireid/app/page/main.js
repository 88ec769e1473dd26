// Who sits here, which view is shown, and what the gallery holds.

import { ask, hasToken, keepToken } from "./api.js";
import { startAdding } from "./add.js";
import { showGallery } from "./gallery.js";
import { startSearching } from "./search.js";

const byId = (id) => document.getElementById(id);
const views = [...document.querySelectorAll("nav button")];
const message = byId("message");

function say(text, kind = "note") {
  message.textContent = text;
  message.hidden = !text;
  message.classList.toggle("error", kind === "error");
}

// What went wrong, in the server's words; a token that is no longer known leads back to the door.
function complain(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) openDoor(hasToken() ? "This token is not known." : "");
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

function openDoor(text = "") {
  keepToken(null);
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== "door";
  document.querySelector("nav").hidden = byId("leave").hidden = true;
  byId("summary").textContent = "";
  document.dispatchEvent(new CustomEvent("leave"));
  say(text, "error");
  byId("token").focus();
}

async function enter() {
  const gallery = await refresh();
  byId("door").hidden = true;
  byId("leave").hidden = !hasToken();
  document.querySelector("nav").hidden = false;
  say(gallery.count === 0 ? "The gallery is empty: add crops first." : "");
  show(gallery.count === 0 ? "add" : "search");
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
enter().catch(complain);
