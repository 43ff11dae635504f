// A few things at a time. Browsers open six connections to a server, and pictures need some of them.

/** Runs asynchronous work, at most `limit` at once, first come, first served. */
export class Lanes {
  #limit;
  #running = 0;
  #waiting = [];

  constructor(limit) {
    this.#limit = limit;
  }

  /** True while something waits for its turn. */
  get crowded() {
    return this.#waiting.length > 0;
  }

  add(work) {
    this.#waiting.push(work);
    this.#pump();
  }

  #pump() {
    while (this.#running < this.#limit && this.#waiting.length) {
      const work = this.#waiting.shift();
      this.#running += 1;
      Promise.resolve()
        .then(work)
        .catch((error) => console.error(error))
        .finally(() => {
          this.#running -= 1;
          this.#pump();
        });
    }
  }
}
