// What was found in a photo, part by part. A part that was not measured is left out, and said so in the notes.

import { el, styled } from "./dom.js";
import { facesOf } from "./picture.js";
import { BLUR, SCENE, enumWord, percent, plural } from "./words.js";

export function renderCaption(image) {
  const corrected = image.corrections && image.corrections.caption;
  const caption = image.caption || {};
  const text = corrected || caption.text;
  if (!text) {
    const why = image.state === "PROCESSED" && image.error && image.error.message;
    return why ? el("p", { class: "quiet" }, `No caption: ${why}`) : null;
  }
  return el(
    "div",
    { class: "said" },
    el("p", { class: "caption", lang: corrected ? undefined : caption.language || undefined }, text),
    !corrected && origin(caption),
  );
}

function origin(caption) {
  if (!caption.degraded) {
    const by = [caption.provider, caption.model].filter(Boolean).join(" · ");
    return by && el("p", { class: "quiet" }, `Described by ${by}`);
  }
  return el(
    "p",
    { class: "quiet" },
    el("span", { class: "badge" }, "composed from measurements"),
    caption.degraded_reason && ` ${caption.degraded_reason}`,
  );
}

export function renderTags(image) {
  const said = image.corrections || {};
  const removed = new Set(said.removed_tags || []);
  const computed = ((image.caption && image.caption.tags) || []).filter((tag) => !removed.has(tag));
  const tags = [...new Set([...(said.added_tags || []), ...computed])];
  if (!tags.length) return null;
  return el("ul", { class: "tags", "aria-label": "Tags" }, tags.slice(0, 12).map((tag) => el("li", {}, tag)));
}

export function renderPalette(insights) {
  const colors = (insights.dominant_colors || []).filter((one) => one.color && /^#[0-9a-f]{6}$/i.test(one.color.hex));
  if (!colors.length) return null;
  const strip = colors.map((one) =>
    styled(el("span", {}), { "--color": one.color.hex, "--share": String(Math.max(0.02, one.share || 0)) }),
  );
  const list = colors.map((one) =>
    el(
      "li",
      { title: one.css_name || undefined },
      styled(el("span", { class: "dot", "aria-hidden": "true" }), { "--color": one.color.hex }),
      el("code", {}, one.color.hex),
      el("span", { class: "share" }, percent(one.share)),
    ),
  );
  return el(
    "div",
    { class: "palette" },
    el("div", { class: "strip", "aria-hidden": "true" }, strip),
    el("ul", { "aria-label": "Main colours" }, list),
  );
}

export function renderMeasures(insights) {
  const light = insights.luminance;
  if (!light) return null;
  const rows = [
    ["Brightness", light.brightness, 255],
    ["Contrast", light.contrast, 100],
    ["Sharpness", light.sharpness, 100],
    ["Quality", light.quality_score, 100],
  ];
  return el(
    "dl",
    { class: "measures" },
    rows.map(([name, value, most]) => {
      const number = Number(value) || 0;
      const bar = styled(el("span", { class: "bar", "aria-hidden": "true" }), {
        "--value": String(Math.max(0, Math.min(1, number / most))),
      });
      return el(
        "div",
        {},
        el("dt", {}, name),
        el("dd", {}, el("span", { class: "number" }, String(Math.round(number))), bar),
      );
    }),
  );
}

/** Short facts; the one on faces is a button that shows and hides the boxes. */
export function renderFacts(image, onFaces) {
  const { insights } = image;
  const facts = [];
  const scene = insights.scene && SCENE[insights.scene.type];
  if (scene) facts.push(el("span", { class: "fact" }, `${scene} ${percent(insights.scene.confidence)}`));
  const blur = insights.luminance && BLUR[insights.luminance.blur_level];
  if (blur) facts.push(el("span", { class: "fact" }, blur));
  if (insights.faces) facts.push(renderFaceFact(image, onFaces));
  if (insights.text && !insights.text.word_count) facts.push(el("span", { class: "fact" }, "No text"));
  return facts.length ? el("p", { class: "facts" }, facts) : null;
}

function renderFaceFact(image, onFaces) {
  const count = facesOf(image).length;
  if (!count) return el("span", { class: "fact" }, "No faces");
  const button = el(
    "button",
    { type: "button", class: "fact toggle", "aria-pressed": "true", title: "Show or hide the boxes" },
    plural(count, "face", "faces"),
  );
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    onFaces(pressed);
  });
  return button;
}

export function renderText(insights) {
  const text = insights.text;
  if (!text || !text.word_count) return null;
  return el(
    "details",
    { class: "text" },
    el("summary", {}, plural(Number(text.word_count), "word of text", "words of text")),
    el("pre", {}, text.text || ""),
  );
}

/** Bar and QR codes: shown, never followed; whoever printed them chose the words. */
export function renderCodes(insights) {
  const codes = insights.barcodes || [];
  if (!codes.length) return null;
  return el(
    "ul",
    { class: "codes", "aria-label": "Codes" },
    codes.map((code) => el("li", {}, el("span", { class: "fact" }, code.format), " ", el("code", {}, code.text || ""))),
  );
}

/** What did not run, went wrong, or ran on a stand-in. */
export function renderNotes(insights) {
  const notes = (insights.detectors || []).flatMap((report) => {
    const what = enumWord(report.detector, "DETECTOR_");
    const said = report.message ? `: ${report.message}` : "";
    if (report.status === "DETECTOR_STATUS_UNAVAILABLE") return [["unavailable", `${what} not available${said}`]];
    if (report.status === "DETECTOR_STATUS_FAILED") return [["failed", `${what} failed${said}`]];
    if (report.fallback) return [["fallback", `${what} found by a simpler engine (${report.engine || "fallback"})`]];
    return [];
  });
  if (!notes.length) return null;
  return el("ul", { class: "notes", "aria-label": "Notes" }, notes.map(([kind, note]) => el("li", { class: kind }, note)));
}
