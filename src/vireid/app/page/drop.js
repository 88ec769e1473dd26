// A place where files are dropped or chosen.

let largest = Infinity; // bytes of an image that the server takes
document.addEventListener("gallery", (event) => {
  largest = event.detail.image_bytes;
});

// Calls take(files) with the files that were dropped, chosen or, if asked for, pasted anywhere on the page.
export function takesFiles(place, take, { paste = () => false } = {}) {
  const input = place.querySelector("input");
  place.addEventListener("click", () => input.click());
  input.addEventListener("click", (event) => event.stopPropagation());
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    input.click();
  });
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
  for (const kind of ["dragenter", "dragover"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) place.addEventListener(kind, () => place.classList.remove("over"));
  place.addEventListener("drop", async (event) => {
    event.preventDefault();
    take(await filesOf(event.dataTransfer));
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length && paste()) take(files);
  });
}

// What is wrong with a file that the server would refuse anyway, or null.
export function faultOf(file) {
  if (file.size === 0) return `${file.name} is empty or cannot be read.`;
  if (file.size > largest) return `${file.name} is larger than ${largest / 2 ** 20} MB.`;
  if (file.type && !/^image\/(jpeg|png|bmp|webp|x-ms-bmp)$/.test(file.type)) {
    return `${file.name} is no JPEG, PNG, BMP or WebP image.`;
  }
  return null;
}

async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  // What cannot be read stands for itself, and is refused by its name.
  if (entry.isFile) return [await new Promise((done) => entry.file(done, () => done(new File([], entry.name))))];
  const reader = entry.createReader();
  const found = [];
  // A reader gives a hundred entries at a time, and none at the end.
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(walk))).flat());
  }
}
