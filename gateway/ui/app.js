// The page: takes photos in, lists what is there, and keeps both live.

import { listImages, sendPhoto } from "./api.js";
import { PhotoCard } from "./card.js";
import { el } from "./dom.js";
import { Lanes } from "./lanes.js";
import { follow, isFinal } from "./live.js";
import { plural } from "./words.js";

const byId = (id) => document.getElementById(id);
const list = byId("photos");
const drop = byId("drop");
const picker = byId("picker");
const more = byId("more");
const uploads = new Lanes(3);
const known = new Map(); // cards by image name
const followed = new WeakMap(); // what stops following, by card
let sendingCount = 0;
let total = 0;
let pageToken = "";

// A log, not one line: of two messages at once, the first would never be read out.
function announce(words) {
  const live = byId("live");
  live.append(el("p", {}, words));
  while (live.childElementCount > 20) live.firstElementChild.remove();
}

function showTrouble(words) {
  byId("trouble").textContent = words;
  byId("trouble").hidden = !words;
}

function showCount() {
  byId("count").textContent = total ? plural(total, "photo", "photos") : "";
  byId("empty").hidden = list.childElementCount > 0;
  drop.classList.toggle("compact", list.childElementCount > 0);
}

function forget(card) {
  const name = card.element.dataset.name;
  followed.get(card)?.();
  if (name && known.delete(name)) total = Math.max(0, total - 1);
  announce(`${card.title} is gone.`);
  showCount();
}

function keepLive(card, image) {
  if (isFinal(image)) return;
  const stop = follow(
    image.name,
    (now) => {
      card.show(now);
      if (now.state === "PROCESSED") announce(`${card.title} is done.`);
      if (now.state === "FAILED") announce(`${card.title} could not be analysed.`);
    },
    (error) => card.showError(error),
  );
  followed.set(card, stop);
}

function takeIn(files) {
  if (!files.length) return;
  showTrouble("");
  const taken = files.map((file) => {
    const card = new PhotoCard(file.name || "Pasted picture", file.size, forget);
    card.preview(file);
    return { file, card, requestId: randomId() };
  });
  list.prepend(...taken.map(({ card }) => card.element));
  taken.forEach(upload);
  announce(`${plural(files.length, "photo", "photos")} chosen.`);
  showCount();
}

// Browsers offer randomUUID on secure pages only, and this one may be served in a plain local network.
function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function upload({ file, card, requestId }) {
  let sending = null;
  let cancelled = false;
  const cancel = () => {
    cancelled = true;
    if (sending) sending.abort();
    card.remove();
  };
  card.showProgress(0, cancel);
  uploads.add(async () => {
    if (cancelled) return;
    sendingCount += 1;
    sending = sendPhoto(file, requestId, (fraction) => card.showProgress(fraction, cancel));
    try {
      arrive(card, await sending.done);
    } catch (error) {
      if (cancelled) return;
      card.showError(error, () => upload({ file, card, requestId }));
      announce(`${card.title}: ${error.message}`);
    } finally {
      sendingCount -= 1;
    }
  });
}

function arrive(card, image) {
  if (!known.has(image.name)) total += 1;
  known.set(image.name, card);
  card.show(image);
  keepLive(card, image);
  showCount();
}

async function loadMore() {
  more.disabled = true;
  showTrouble("");
  try {
    const page = await listImages(pageToken);
    for (const image of page.images || []) {
      if (known.has(image.name)) continue;
      const card = new PhotoCard(image.display_name || image.name, 0, forget);
      known.set(image.name, card);
      list.append(card.element);
      card.show(image);
      keepLive(card, image);
    }
    pageToken = page.next_page_token || "";
    total = Math.max(Number(page.total_size) || 0, known.size);
    more.hidden = !pageToken;
    more.textContent = "Load more";
  } catch (error) {
    showTrouble(`The list of photos could not be loaded. ${error.message}`);
    more.hidden = false;
    more.textContent = "Try again";
  }
  more.disabled = false;
  showCount();
}

async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const inside = [];
  // A reader hands out a hundred entries at a time, and none at the end.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    inside.push(...some);
  }
  const visible = inside.filter((one) => !one.name.startsWith("."));
  return (await Promise.all(visible.map(filesIn))).flat();
}

function carriesFiles(event) {
  return [...(event.dataTransfer?.types || [])].includes("Files");
}

function listenForDrops() {
  let depth = 0;
  const highlight = (on) => drop.classList.toggle("over", on);
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    highlight(true);
  });
  addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (!depth) highlight(false);
  });
  // The whole page takes drops: a browser that misses the zone would open the photo instead.
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    highlight(false);
    try {
      takeIn(await droppedFiles(event.dataTransfer));
    } catch {
      showTrouble("Some of these files cannot be read. Check that you may open them, then drop them again.");
    }
  });
}

byId("choose").addEventListener("click", () => picker.click());
picker.addEventListener("change", () => {
  takeIn([...picker.files]);
  picker.value = "";
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files || [])];
  if (files.length) {
    event.preventDefault();
    takeIn(files);
  }
});
addEventListener("beforeunload", (event) => sendingCount && event.preventDefault());
more.addEventListener("click", loadMore);
listenForDrops();
loadMore();
