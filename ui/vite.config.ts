import { svelte, vitePreprocess } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

// The oldest engines the window runs in: WebKitGTK 2.44, WKWebView of macOS 13, Edge WebView2.
const ENGINES = ['safari16.4', 'chrome111', 'edge111'];

export default defineConfig({
  plugins: [svelte({ preprocess: vitePreprocess() }), svelteTesting()],
  // The shell opens this very address in development, so another free port would be the wrong one.
  server: { port: 5173, strictPort: true, host: '127.0.0.1' },
  clearScreen: false,
  build: {
    target: ENGINES,
    // The content policy allows files of our own and nothing inline, not even `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
    setupFiles: ['src/testing/setup.ts'],
    restoreMocks: true,
  },
});
