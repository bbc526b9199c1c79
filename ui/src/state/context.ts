/**
 * What every screen may reach: the store, the player, the keys.
 *
 * Belongs here: handing them down the tree. Not here: what they do.
 */
import { createContext } from 'svelte';
import type { Player } from '../player/player';
import type { AppStore } from './app.svelte';
import type { Keys } from './keys';

export const [getApp, setApp] = createContext<AppStore>();
export const [getPlayer, setPlayer] = createContext<Player>();
export const [getKeys, setKeys] = createContext<Keys>();
