// Follows images until they are done: by server-sent events, by long polls where those fail.

import { watchUrl, waitImage } from "./api.js";
import { Lanes } from "./lanes.js";

const FINAL = new Set(["PROCESSED", "FAILED", "STORED"]);
const TURN_MS = 15_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const MAX_FAILURES = 8;

const lanes = new Lanes(2);

export function isFinal(image) {
  return FINAL.has(image.state);
}

/**
 * Calls `onImage(image)` at every change until the image is done, `onError(error)` when that cannot be learnt.
 * Returns a function that stops it. A slow image gives its lane to the next one from time to time.
 */
export function follow(name, onImage, onError) {
  const subject = { name, onImage, onError, stop: new AbortController(), polling: false, failures: 0 };
  lanes.add(() => takeTurn(subject));
  return () => subject.stop.abort();
}

async function takeTurn(subject) {
  if (subject.stop.signal.aborted) return;
  const ended = subject.polling ? await poll(subject) : await listen(subject);
  if (!ended && !subject.stop.signal.aborted) lanes.add(() => takeTurn(subject));
}

function tell(subject, image) {
  if (subject.stop.signal.aborted || !image || !image.name) return false;
  subject.onImage(image);
  return isFinal(image);
}

/** Resolves to true when the image is done, false when the turn is over or events do not work. */
function listen(subject) {
  return new Promise((resolve) => {
    const source = new EventSource(watchUrl(subject.name));
    const timer = setInterval(() => lanes.crowded && end(false), TURN_MS);
    const end = (done) => {
      source.close();
      clearInterval(timer);
      subject.stop.signal.removeEventListener("abort", stop);
      resolve(done);
    };
    const stop = () => end(true);
    subject.stop.signal.addEventListener("abort", stop);
    source.addEventListener("message", (event) => {
      let body;
      try {
        body = JSON.parse(event.data);
      } catch {
        return;
      }
      if (tell(subject, body.image) || body.final) end(true);
    });
    source.addEventListener("error", () => {
      subject.polling = true;
      end(false);
    });
  });
}

async function poll(subject) {
  try {
    const image = await waitImage(subject.name, subject.stop.signal);
    subject.failures = 0;
    if (tell(subject, image)) return true;
    await pause(FIRST_PAUSE_MS);
  } catch (error) {
    if (error.name === "AbortError") return true;
    subject.failures += 1;
    if (error.status === 404 || subject.failures >= MAX_FAILURES) {
      subject.onError(error);
      return true;
    }
    await pause(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** subject.failures));
  }
  return false;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
