/**
 * Choices that concern this window alone and are no setting of the app: kept in the window's own storage.
 *
 * Belongs here: how much the settings show, whether single letters act. Not here: anything the shell must know (`SettingsView`).
 */
const KEY = 'visavis.window';

interface Kept {
  advanced: boolean;
  singleLetters: boolean;
}

function load(): Kept {
  const kept: Kept = { advanced: false, singleLetters: true };
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    if (typeof found === 'object' && found !== null) {
      if ('advanced' in found && typeof found.advanced === 'boolean') kept.advanced = found.advanced;
      if ('singleLetters' in found && typeof found.singleLetters === 'boolean') kept.singleLetters = found.singleLetters;
    }
  } catch {
    // No storage, or not ours: the defaults serve.
  }
  return kept;
}

class Preferences {
  #kept: Kept = $state(load());

  get advanced(): boolean {
    return this.#kept.advanced;
  }
  set advanced(value: boolean) {
    this.#kept.advanced = value;
    this.#save();
  }

  get singleLetters(): boolean {
    return this.#kept.singleLetters;
  }
  set singleLetters(value: boolean) {
    this.#kept.singleLetters = value;
    this.#save();
  }

  #save(): void {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#kept));
    } catch {
      // It lasts as long as the window then.
    }
  }
}

export const preferences = new Preferences();
