/**
 * Who answers a key: the innermost part of the screen that has a use for it.
 *
 * Belongs here: the order of asking. Not here: which key means what (`shortcuts.ts`).
 */
import type { Action } from './shortcuts';

/** True when the action was taken. */
export type KeyHandler = (action: Action, event: KeyboardEvent) => boolean;

export class Keys {
  #handlers: KeyHandler[] = [];

  /** Asked before everyone registered earlier; returns the way to stop. */
  on(handler: KeyHandler): () => void {
    this.#handlers.push(handler);
    return () => {
      this.#handlers = this.#handlers.filter((h) => h !== handler);
    };
  }

  dispatch(action: Action, event: KeyboardEvent): boolean {
    return this.#handlers.toReversed().some((handler) => handler(action, event));
  }
}
