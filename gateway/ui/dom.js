// Elements. Text goes in as text nodes only: names, captions and words in pictures come from strangers.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** An HTML element; `on…` attributes are listeners, strings among the children become text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Sets custom properties. Through the object model, which a strict content security policy allows. */
export function styled(node, properties) {
  for (const [key, value] of Object.entries(properties)) node.style.setProperty(key, value);
  return node;
}
