/**
 * The one thing the window must know of H.264: the codec string a decoder wants to hear.
 *
 * Belongs here: finding the sequence parameter set in an Annex B key unit. Not here: decoding (`decoder.ts`).
 */

/** `nal_unit_type` of a sequence parameter set, ITU-T H.264 table 7-1. */
const SPS = 7;

/** `avc1.PPCCLL` from the first SPS of an Annex B access unit; `null` when it carries none. */
export function codecString(unit: Uint8Array): string | null {
  for (let i = 0; i + 6 < unit.length; i++) {
    if (unit[i] !== 0 || unit[i + 1] !== 0 || unit[i + 2] !== 1) continue;
    if ((unit[i + 3]! & 0x1f) !== SPS) continue;
    const hex = (byte: number) => byte.toString(16).padStart(2, '0').toUpperCase();
    return `avc1.${hex(unit[i + 4]!)}${hex(unit[i + 5]!)}${hex(unit[i + 6]!)}`;
  }
  return null;
}
