/**
 * The network patients reach this computer by.
 *
 * Belongs here: which of the networks found is meant by the setting. Not here: finding them (the shell).
 */
import type { NetworkView } from '../../generated/bindings';

/** What the setting keeps of a network: its interface, or its address where one interface has several. */
export function networkKey(networks: readonly NetworkView[], network: NetworkView): string {
  const alone = networks.filter((n) => n.interface === network.interface).length === 1;
  return alone ? network.interface : network.address;
}

/** The one the setting names, by interface or address; without a setting, the suggested one. `null` when it is not there now. */
export function chosenNetwork(networks: readonly NetworkView[], setting: string | null): NetworkView | null {
  if (setting === null) return networks.find((n) => n.suggested) ?? networks[0] ?? null;
  return networks.find((n) => n.address === setting) ?? networks.find((n) => n.interface === setting) ?? null;
}
