// How often the dots are drawn. A machine that cannot keep up draws every second or fourth frame, and tries again after
// ten seconds. Knows no clock: each frame hands its time in.

const SLOW_MS = 25; // fewer than 40 frames a second
const MOST = 4;
const DOWN_MS = 1000;
const UP_MS = 10000;

/** Told of every frame; says which of them are drawn. */
export class Pace {
  every = 1; // draw every so manieth frame
  #since = 0; // when that was decided
  #gap = 17; // smoothed milliseconds from one frame to the next
  #at = null; // of the frame before
  #skipped = 0;

  /** Whether the frame at `now` (ms) is to be drawn. */
  due(now) {
    const passed = Math.min(200, now - (this.#at ?? now - this.#gap));
    this.#at = now;
    this.#gap += 0.1 * (passed - this.#gap);
    const since = now - this.#since;
    if (this.#gap > SLOW_MS && this.every < MOST && since > DOWN_MS) this.#set(this.every * 2, now);
    else if (this.#gap < SLOW_MS && this.every > 1 && since > UP_MS) this.#set(this.every / 2, now);
    this.#skipped += 1;
    if (this.#skipped < this.every) return false;
    this.#skipped = 0;
    return true;
  }

  /** The dots stand still from now on: the time until the next frame says nothing about the machine. */
  rest() {
    this.#at = null;
  }

  #set(every, now) {
    this.every = every;
    this.#since = now;
  }
}
