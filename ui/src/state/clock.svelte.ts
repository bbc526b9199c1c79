/**
 * A clock the screens can read, ticking only while something shows it.
 *
 * Belongs here: time for display. Not here: time for media (`player/`).
 */
import { createSubscriber } from 'svelte/reactivity';

/** Seconds on screen change within a quarter of their length. */
const TICK_MS = 250;

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, TICK_MS);
  return () => clearInterval(timer);
});

export const clock = {
  /** Milliseconds since the Unix epoch. */
  get wall(): number {
    subscribe();
    return Date.now();
  },
  /** Milliseconds that no change of the wall clock moves, as `performance.now()`. */
  get steady(): number {
    subscribe();
    return performance.now();
  },
};
