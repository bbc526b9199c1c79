/**
 * Hold Space to talk while muted.
 *
 * Belongs here: what pressing and letting go of Space does. Not here: which key it is (`state/shortcuts.ts`).
 */

/** A press shorter than this on the mute control itself is a press of that control. */
const TAP_MS = 250;

export interface Mutable {
  readonly muted: boolean;
  setMuted(muted: boolean): void;
}

export class PushToTalk {
  readonly #target: Mutable;
  readonly #now: () => number;
  #held: { since: number; tapToggles: boolean; wasMuted: boolean } | null = null;

  constructor(target: Mutable, now: () => number = () => performance.now()) {
    this.#target = target;
    this.#now = now;
  }

  /** `tapToggles`: the mute control has focus, where Space is also the way to press it. */
  down(tapToggles: boolean): void {
    if (this.#held !== null) return;
    const wasMuted = this.#target.muted;
    if (!wasMuted && !tapToggles) return;
    this.#held = { since: this.#now(), tapToggles, wasMuted };
    if (wasMuted) this.#target.setMuted(false);
  }

  up(): void {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    const tapped = held.tapToggles && this.#now() - held.since < TAP_MS;
    // Held: silent again. A tap on the control: the other state than before, which a muted one has already.
    if (held.wasMuted ? !tapped : tapped) this.#target.setMuted(true);
  }
}
