// A picture with boxes around faces, whatever size it is shown at.

import { el, svg } from "./dom.js";
import { percent } from "./words.js";

/** The faces that have a place. */
export function facesOf(image) {
  const found = (image.insights && image.insights.faces && image.insights.faces.faces) || [];
  return found.filter((face) => face.box && face.box.width > 0 && face.box.height > 0);
}

/**
 * Boxes in pixels of the upright image. The drawing is fitted exactly as `object-fit: contain` fits the
 * picture, so both line up without a measurement. Null when there is nothing to draw.
 */
export function drawFaces(image) {
  const width = image.width || (image.insights && image.insights.width);
  const height = image.height || (image.insights && image.insights.height);
  const faces = facesOf(image);
  if (!faces.length || !width || !height) return null;
  const boxes = faces.flatMap((face, index) => {
    const place = {
      x: face.box.x || 0,
      y: face.box.y || 0,
      width: face.box.width,
      height: face.box.height,
      rx: Math.min(face.box.width, face.box.height) * 0.06,
    };
    const sure = face.confidence ? `, ${percent(face.confidence)} sure` : "";
    return [
      svg("rect", { class: "face-edge", ...place }),
      svg("rect", { class: "face", ...place }, svg("title", {}, `Face ${index + 1}${sure}`)),
    ];
  });
  return svg(
    "svg",
    { class: "faces", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" },
    boxes,
  );
}

/** Opens the original in the large viewer, with the boxes if they are shown. */
export function openViewer(image, source, fallback, withFaces, opener) {
  const viewer = document.getElementById("viewer");
  const shown = el("img", { src: source, alt: image.display_name || "" });
  // Browsers cannot show every format that the server reads.
  shown.addEventListener("error", () => (shown.src = fallback), { once: true });
  const frame = el("div", { class: "viewer-frame" }, shown, withFaces && drawFaces(image));
  const close = el("button", { type: "button", class: "viewer-close", "aria-label": "Close" }, "Close");
  close.addEventListener("click", () => viewer.close());
  viewer.replaceChildren(frame, close);
  viewer.onclick = (event) => event.target !== close && viewer.close();
  viewer.onclose = () => {
    viewer.replaceChildren();
    opener.focus();
  };
  viewer.showModal();
}
