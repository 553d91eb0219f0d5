// Which dots to let go: a sample of the requests, drawn from their rates, so that no message is ever sent for one.
// Knows no clock and no chance of its own.

const MOST_PER_S = 42; // with 1.3 s on the way, at most about 55 dots

const flowing = (targets) => targets.filter((target) => target.ready);
const rate = (targets) => flowing(targets).reduce((sum, target) => sum + (target.per_s ?? 0), 0);

/** Each target, `{element, ready, per_s}`, gathers its share until it is worth a dot. `random` gives 0 to 1. */
export class Sample {
  #random;
  #gathered = new WeakMap(); // by element: targets are made anew at each tick

  constructor(random) {
    this.#random = random;
  }

  /** The targets that get a dot for the `seconds` that have passed; one may be in it several times. */
  take(targets, seconds) {
    const scale = Math.min(1, MOST_PER_S / Math.max(rate(targets), 1e-9));
    const taken = [];
    for (const target of flowing(targets)) {
      let gathered = (this.#gathered.get(target.element) ?? this.#random()) + (target.per_s ?? 0) * scale * seconds;
      for (; gathered >= 1; gathered -= 1) taken.push(target);
      this.#gathered.set(target.element, gathered);
    }
    return taken;
  }
}

/** How many requests a dot stands for; 0 while there are none. */
export function requestsADot(targets) {
  const whole = rate(targets);
  return whole ? Math.max(1, Math.round(whole / MOST_PER_S)) : 0;
}
