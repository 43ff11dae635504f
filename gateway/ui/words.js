// Numbers and enum names as people read them.

const FORMATS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

export function bytes(count) {
  const value = Number(count) || 0;
  if (value < 1000) return `${value} B`;
  const units = ["kB", "MB", "GB"];
  let size = value / 1000;
  let unit = 0;
  while (size >= 999.95 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${FORMATS.format(size)} ${units[unit]}`;
}

export function percent(share) {
  const value = (Number(share) || 0) * 100;
  return value > 0 && value < 1 ? "<1%" : `${Math.round(value)}%`;
}

export function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/** "DETECTOR_TEXT" without its prefix, as a word: "text". */
export function enumWord(value, prefix) {
  return String(value || "").replace(prefix, "").replaceAll("_", " ").toLowerCase();
}

export const BLUR = {
  BLUR_LEVEL_LOW: "Sharp",
  BLUR_LEVEL_MEDIUM: "Slightly blurred",
  BLUR_LEVEL_HIGH: "Blurred",
};

export const SCENE = {
  SCENE_TYPE_INDOOR: "Indoor",
  SCENE_TYPE_OUTDOOR: "Outdoor",
  SCENE_TYPE_NATURE: "Nature",
};

/** What went wrong in a few words, by reason; the server's own sentence follows it. */
export const REASONS = {
  IMAGE_EMPTY: "The file is empty",
  IMAGE_TOO_LARGE: "The file is too large",
  IMAGE_TOO_MANY_PIXELS: "Too many pixels",
  IMAGE_FORMAT_UNSUPPORTED: "Not a supported picture",
  IMAGE_UNDECODABLE: "The picture is damaged",
  IMAGE_DECODE_TIMEOUT: "The picture takes too long to open",
  IMAGE_CHECKSUM_MISMATCH: "It arrived damaged",
  UPLOAD_INCOMPLETE: "The upload broke off",
  OVERLOADED: "Too busy right now",
  RATE_LIMITED: "Too many requests",
  STORAGE_FULL: "No space left",
  IMAGE_NOT_FOUND: "Not there any more",
  ANALYSIS_ABANDONED: "Given up after several tries",
  CREDENTIALS_INVALID: "Not signed in",
  NOT_ALLOWED: "Not allowed",
  NO_ANSWER: "No answer",
};
