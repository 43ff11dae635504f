// One photo on the page, from the moment it is chosen.

import { deleteImage, downloadUrl, fromStatus, imageUrl } from "./api.js";
import { el, styled } from "./dom.js";
import {
  renderCaption,
  renderCodes,
  renderFacts,
  renderMeasures,
  renderNotes,
  renderPalette,
  renderTags,
  renderText,
} from "./insights.js";
import { drawFaces, openViewer } from "./picture.js";
import { REASONS, bytes, enumWord } from "./words.js";

const WAITING = { PENDING: "Waiting for its turn", PROCESSING: "Looking at it" };
let cards = 0;

/** A list item; `onGone` is called when the photo is deleted or dismissed. */
export class PhotoCard {
  #image = null;
  #preview = "";
  #withFaces = true;
  #picture = el("img", { alt: "", decoding: "async" });
  #frame = el("button", { type: "button", class: "picture", "aria-label": "Show the large picture", disabled: true });
  #title = el("h3", {});
  #meta = el("p", { class: "meta" });
  #state = el("div", { class: "state" });
  #found = el("div", { class: "found" });
  #foot = el("div", { class: "foot" });
  #onGone;

  constructor(name, sizeBytes, onGone) {
    this.#onGone = onGone;
    cards += 1;
    this.#title.id = `photo-${cards}`;
    this.#title.textContent = name;
    this.#title.title = name;
    this.#meta.textContent = sizeBytes ? bytes(sizeBytes) : "";
    this.#frame.append(this.#picture);
    this.#frame.addEventListener("click", () => this.#enlarge());
    this.#picture.addEventListener("error", () => this.#frame.classList.add("blank"));
    this.#picture.addEventListener("load", () => this.#frame.classList.remove("blank"));
    this.element = el(
      "li",
      { class: "card", "aria-labelledby": this.#title.id, tabindex: "-1" },
      this.#frame,
      el("div", { class: "body" }, el("header", {}, this.#title, this.#meta), this.#state, this.#found, this.#foot),
    );
  }

  get title() {
    return this.#title.textContent;
  }

  /** Shows the file itself while the server has no picture of it yet. */
  preview(file) {
    this.#preview = URL.createObjectURL(file);
    this.#picture.src = this.#preview;
  }

  showProgress(fraction, onCancel) {
    const shown = Math.floor(fraction * 100);
    const words = fraction >= 1 ? "Checking" : fraction > 0 ? `Uploading ${shown}%` : "Waiting to upload";
    let bar = this.#state.querySelector("progress");
    if (!bar) {
      bar = el("progress", { max: "100", value: "0", "aria-label": `Upload of ${this.title}` });
      const cancel = el("button", { type: "button", class: "plain", onclick: onCancel }, "Cancel");
      this.#state.replaceChildren(el("span", { class: "state-words" }), cancel, bar);
      this.element.setAttribute("aria-busy", "true");
    }
    bar.value = shown;
    this.#state.querySelector(".state-words").textContent = words;
  }

  showError(error, onRetry) {
    const again = onRetry && el("button", { type: "button", onclick: onRetry }, "Try again");
    const dismiss = el("button", { type: "button", class: "plain", onclick: () => this.remove() }, "Dismiss");
    this.element.classList.add("failed");
    this.element.removeAttribute("aria-busy");
    this.#state.replaceChildren(problem(error), el("p", { class: "actions" }, again, dismiss));
  }

  /** Shows what is known of the image. */
  show(image) {
    this.#image = image;
    this.element.dataset.name = image.name;
    this.element.classList.remove("failed");
    this.#title.textContent = this.#title.title = image.display_name || image.name;
    const size = image.width && image.height ? `${image.width} × ${image.height}` : "";
    const format = enumWord(image.format, "IMAGE_FORMAT_").toUpperCase();
    const facts = [size, format, image.size_bytes && bytes(image.size_bytes)];
    this.#meta.textContent = facts.filter((fact) => fact && fact !== "UNSPECIFIED").join(" · ");
    this.#showPicture(image);
    this.#showState(image);
    if (image.state === "PROCESSED" || image.insights) this.#showFound(image);
    this.#showFoot(image);
  }

  /** Takes the card off the page, without touching the server. */
  remove() {
    const next = this.element.nextElementSibling || this.element.previousElementSibling;
    this.#release();
    this.element.remove();
    (next || document.getElementById("choose")).focus();
    this.#onGone(this);
  }

  #showPicture(image) {
    const thumbnail = downloadUrl(image.name, "THUMBNAIL");
    this.#picture.alt = (image.caption && image.caption.text) || image.display_name || "";
    this.#frame.disabled = false;
    if (image.state === "FAILED" || this.#picture.getAttribute("src") === thumbnail) return;
    if (!this.#preview) {
      this.#picture.loading = "lazy";
      this.#picture.src = thumbnail;
    } else if (this.#frame.classList.contains("blank") && image.state === "PROCESSED") {
      this.#picture.src = thumbnail;
    }
  }

  #showState(image) {
    const waiting = WAITING[image.state];
    this.element.toggleAttribute("aria-busy", false);
    if (waiting) {
      this.element.setAttribute("aria-busy", "true");
      const pulse = el("span", { class: "pulse", "aria-hidden": "true" });
      this.#state.replaceChildren(el("span", { class: "state-words" }, pulse, waiting));
    } else if (image.state === "FAILED") {
      this.element.classList.add("failed");
      this.#state.replaceChildren(problem(fromStatus(image.error || {})));
    } else if (image.state === "STORED") {
      this.#state.replaceChildren(el("span", { class: "state-words" }, "Stored, not analysed"));
    } else {
      this.#state.replaceChildren();
    }
  }

  #showFound(image) {
    const insights = image.insights || {};
    const full = { ...image, insights };
    const main = insights.dominant_colors?.[0]?.color?.hex;
    if (/^#[0-9a-f]{6}$/i.test(main)) styled(this.#frame, { "--tint": main });
    this.#found.replaceChildren(
      ...[
        renderCaption(full),
        renderTags(full),
        renderPalette(insights),
        renderMeasures(insights),
        renderFacts(full, (shown) => this.#showFaces(shown)),
        renderText(insights),
        renderCodes(insights),
        renderNotes(insights),
      ].filter(Boolean),
    );
    this.#showFaces(true);
  }

  #showFaces(shown) {
    this.#withFaces = shown;
    this.#frame.querySelector(".faces")?.remove();
    const drawing = shown && drawFaces(this.#image);
    if (drawing) this.#frame.append(drawing);
  }

  #enlarge() {
    const original = downloadUrl(this.#image.name);
    openViewer(this.#image, original, this.#picture.src, this.#withFaces, this.#frame);
  }

  #showFoot(image) {
    const link = (words, href) => el("a", { href, target: "_blank", rel: "noopener" }, words);
    const remove = el("button", { type: "button", class: "plain danger" }, "Delete");
    remove.addEventListener("click", () => this.#askToDelete());
    const links = [
      link("Original", downloadUrl(image.name)),
      image.state === "PROCESSED" && link("Annotated", downloadUrl(image.name, "ANNOTATED")),
      link("JSON", imageUrl(image.name)),
    ];
    this.#foot.replaceChildren(...links.filter(Boolean), remove);
  }

  #askToDelete() {
    const keep = el("button", { type: "button" }, "Keep");
    const remove = el("button", { type: "button", class: "danger solid" }, "Delete");
    const question = el("span", {}, "Delete this photo?");
    const ask = el("div", { class: "ask", role: "group", "aria-label": `Delete ${this.title}?` }, question, remove, keep);
    const back = () => {
      this.#showFoot(this.#image);
      this.#foot.querySelector("button").focus();
    };
    keep.addEventListener("click", back);
    ask.addEventListener("keydown", (event) => event.key === "Escape" && back());
    remove.addEventListener("click", async () => {
      remove.disabled = true;
      try {
        await deleteImage(this.#image.name);
        this.remove();
      } catch (error) {
        remove.disabled = false;
        question.textContent = error.message;
      }
    });
    this.#foot.replaceChildren(ask);
    keep.focus();
  }

  #release() {
    if (this.#preview) URL.revokeObjectURL(this.#preview);
    this.#preview = "";
  }
}

function problem(error) {
  const title = REASONS[error.reason] || enumWord(error.reason, "").replace(/^./, (first) => first.toUpperCase());
  return el("div", { class: "problem" }, el("strong", {}, title), el("p", {}, error.message));
}
