// Calls to the server: JSON is proto JSON with the field names of the contract.

/** A call that failed: a reason of the contract, and a sentence that says the way out. */
export class ApiError extends Error {
  constructor(reason, message, status = 0) {
    super(message);
    this.reason = reason;
    this.status = status;
  }
}

/** The error of a `google.rpc.Status` in JSON. */
export function fromStatus(status, httpStatus = 0) {
  const info = (status.details || []).find((detail) => detail.reason) || {};
  return new ApiError(info.reason || "INTERNAL_ERROR", status.message || "The server gave no reason.", httpStatus);
}

function noAnswer() {
  return new ApiError("NO_ANSWER", "The server does not answer. Check that Sightmill runs, then try again.");
}

function fromAnswer(httpStatus, text) {
  const body = parse(text);
  if (body && body.message) return fromStatus(body, httpStatus);
  if (httpStatus === 413) {
    return new ApiError("IMAGE_TOO_LARGE", "It is larger than the server allows. Send a smaller one.", 413);
  }
  return new ApiError("INTERNAL_ERROR", `The server answered with status ${httpStatus}. Try again later.`, httpStatus);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function call(path, options = {}) {
  let answer;
  let text;
  try {
    answer = await fetch(path, { headers: { Accept: "application/json" }, ...options });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw noAnswer();
  }
  const body = parse(text);
  if (!answer.ok || body === null) throw fromAnswer(answer.status, text);
  return body;
}

function pathOf(name) {
  return `/v1/images/${encodeURIComponent(name.replace(/^images\//, ""))}`;
}

export const imageUrl = pathOf;

export function watchUrl(name) {
  return `${pathOf(name)}:watch`;
}

export function downloadUrl(name, rendition) {
  return `${pathOf(name)}:download${rendition ? `?rendition=RENDITION_KIND_${rendition}` : ""}`;
}

export function listImages(pageToken) {
  const query = new URLSearchParams({ page_size: "24", view: "IMAGE_VIEW_FULL" });
  if (pageToken) query.set("page_token", pageToken);
  return call(`/v1/images?${query}`);
}

export async function waitImage(name, signal) {
  const body = await call(`${pathOf(name)}:wait?timeout=20s`, { signal });
  return body.image || {};
}

export function deleteImage(name) {
  return call(`${pathOf(name)}?allow_missing=true`, { method: "DELETE" });
}

// The answer to one file. A refused file answers with its own status, and its error in the results.
function readUpload(httpStatus, text) {
  const result = parse(text)?.results?.[0] || {};
  if (result.error) throw fromStatus(result.error, httpStatus);
  if (httpStatus < 200 || httpStatus > 299) throw fromAnswer(httpStatus, text);
  if (result.image?.name) return result.image;
  throw new ApiError("UPLOAD_INCOMPLETE", "The server did not say what became of it. Try again.", httpStatus);
}

/**
 * Sends one photo. Returns `{done, abort}`: `done` resolves to the image or rejects with an ApiError.
 * The request id makes a second try safe: the server then answers with the image of the first.
 */
export function sendPhoto(file, requestId, onProgress) {
  const form = new FormData();
  form.append("request_id", requestId);
  form.append("file", file, file.name || "pasted.png");
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      try {
        resolve(readUpload(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    });
    request.addEventListener("error", () => reject(noAnswer()));
    request.addEventListener("abort", () => reject(new ApiError("CANCELLED", "Cancelled.")));
    request.open("POST", "/v1/images:upload");
    request.setRequestHeader("Accept", "application/json");
    request.send(form);
  });
  return { done, abort: () => request.abort() };
}
