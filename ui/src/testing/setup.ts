/** What the test's window lacks of a real one. */
import '@testing-library/jest-dom/vitest';
import { afterEach } from 'vitest';

// Repaints come at once, so that a drawn picture can be asserted on.
globalThis.requestAnimationFrame = (callback) => {
  callback(performance.now());
  return 0;
};

afterEach(() => {
  localStorage.clear();
  document.documentElement.removeAttribute('data-theme');
});
