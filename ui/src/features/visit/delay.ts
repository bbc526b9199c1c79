/**
 * Delay as a doctor reads it: a level, seconds, three parts.
 *
 * Belongs here: summing and judging. Not here: measuring (the shell), words (`i18n/`).
 */
import type { DelayParts, VisitView } from '../../generated/bindings';

export type DelayLevel = 'good' | 'weak' | 'lost' | 'unknown';

/**
 * Above this people start to talk over each other. ITU-T G.114 plans for 0.4 s mouth to ear; phones on RTMP add a buffer of
 * their own that nobody can shorten, and doctors are served by a hint only when a pause truly helps.
 */
const WEAK_MS = 600;

export function delayLevel(visit: VisitView): DelayLevel {
  if (visit.phase.kind === 'reconnecting') return 'lost';
  if (visit.phase.kind !== 'live') return 'unknown';
  if (visit.remote.picture === 'frozen' && !visit.remote.sound) return 'lost';
  const worst = worstTotal(visit);
  if (visit.remote.picture === 'frozen') return 'weak';
  if (worst === null) return 'unknown';
  return worst > WEAK_MS ? 'weak' : 'good';
}

/** The slower of the two ways in milliseconds: a conversation is as quick as its slower half. */
export function worstTotal(visit: VisitView): number | null {
  const totals = [total(visit.delay.incoming), total(visit.delay.outgoing)].filter((ms) => ms !== null);
  return totals.length === 0 ? null : Math.max(...totals);
}

/** The total as measured, else from what is known: the network, and the later of picture and sound. */
export function total(parts: DelayParts): number | null {
  if (parts.totalMs !== null) return parts.totalMs;
  const { networkMs, queueMs, holdMs, codecMs, displayMs, jitterMs } = parts;
  if ([networkMs, queueMs, holdMs, codecMs, displayMs, jitterMs].every((ms) => ms === null)) return null;
  const picture = (queueMs ?? 0) + (holdMs ?? 0) + (codecMs ?? 0) + (displayMs ?? 0);
  return (networkMs ?? 0) + Math.max(picture, jitterMs ?? 0);
}

export interface Share {
  network: number;
  waiting: number;
  computer: number;
}

/** The three parts of the bar in milliseconds; unknown ones count as none. */
export function shares(parts: DelayParts): Share {
  const network = parts.networkMs ?? 0;
  const computer = (parts.codecMs ?? 0) + (parts.displayMs ?? 0);
  return { network, computer, waiting: Math.max(0, (total(parts) ?? 0) - network - computer) };
}
