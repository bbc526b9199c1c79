/**
 * The window's start.
 *
 * Belongs here: putting shell, player and screens together. Not here: anything they do.
 */
import './styles/tokens.css';
import './styles/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import Broken from './Broken.svelte';
import { asAppError, tauri, type Ipc } from './ipc';
import { SocketPlayer, type Player } from './player/player';
import { AppStore, type Section } from './state/app.svelte';

async function parts(): Promise<{ ipc: Ipc; player: Player; section: Section | null }> {
  // Left out of what is shipped: the condition is a constant there.
  if (import.meta.env.DEV || import.meta.env.MODE === 'fake') {
    const state = new URLSearchParams(location.search).get('fake');
    if (state !== null || import.meta.env.MODE === 'fake') {
      const { createFake } = await import('./ipc.fake');
      return createFake(state ?? 'home');
    }
  }
  return { ipc: tauri, player: new SocketPlayer(), section: null };
}

const target = document.getElementById('app')!;
try {
  const { ipc, player, section } = await parts();
  const app = await AppStore.open(ipc);
  app.settingsAt = section;
  mount(App, { target, props: { app, player } });
} catch (thrown) {
  // Without a first view there is nothing to draw but this sentence.
  mount(Broken, { target, props: { error: asAppError(thrown) } });
}
