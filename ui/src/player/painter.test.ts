import { beforeEach, expect, it, vi } from 'vitest';
import { Painter, type Drawable, type Size } from './painter';

let repaints: (() => void)[];
let painter: Painter;
const repaint = () => {
  const now = repaints;
  repaints = [];
  for (const callback of now) callback();
};

beforeEach(() => {
  repaints = [];
  painter = new Painter((callback) => repaints.push(callback));
});

function picture(change: Partial<Drawable> = {}): Drawable & { close: ReturnType<typeof vi.fn> } {
  return { source: document.createElement('canvas'), width: 64, height: 48, mirrored: false, close: vi.fn(), ...change } as never;
}
function screen() {
  const sizes: Size[] = [];
  const drawn: number[] = [];
  const canvas = document.createElement('canvas');
  return { canvas, sizes, drawn, attached: { canvas, size: (size: Size) => sizes.push(size), drawn: (sequence: number) => drawn.push(sequence) } };
}

it('draws the newest at a repaint and closes every other', () => {
  const s = screen();
  painter.attach(s.attached);
  const pictures = [picture(), picture(), picture()];
  const told = vi.fn();
  pictures.forEach((p, i) => painter.show(p, i + 1, told));
  expect(repaints).toHaveLength(1);
  repaint();
  expect(s.drawn).toEqual([3]);
  expect(told, 'drawn is not on screen yet').not.toHaveBeenCalled();
  repaint();
  expect(told).toHaveBeenCalledTimes(1);
  for (const p of pictures) expect(p.close).toHaveBeenCalledTimes(1);
});

it('says a size when it changes, and only then', () => {
  const s = screen();
  painter.attach(s.attached);
  for (const p of [picture(), picture(), picture({ width: 48, height: 64 }), picture({ width: 48, height: 64, mirrored: true })]) {
    painter.show(p, 1);
    repaint();
  }
  expect(s.sizes).toEqual([
    { width: 64, height: 48, mirrored: false },
    { width: 48, height: 64, mirrored: false },
    { width: 48, height: 64, mirrored: true },
  ]);
  expect([s.canvas.width, s.canvas.height]).toEqual([48, 64]);
});

it('keeps nothing for a screen that comes later, nor after the last has gone', () => {
  const early = picture();
  painter.show(early, 1);
  expect(early.close).toHaveBeenCalled();
  const s = screen();
  const stop = painter.attach(s.attached);
  repaint();
  expect(s.drawn).toEqual([]);
  const pending = picture();
  painter.show(pending, 2);
  stop();
  expect(pending.close).toHaveBeenCalled();
  repaint();
  expect(s.drawn).toEqual([]);
});

it('draws onto every screen', () => {
  const [a, b] = [screen(), screen()];
  painter.attach(a.attached);
  const stop = painter.attach(b.attached);
  painter.show(picture(), 1);
  repaint();
  stop();
  painter.show(picture(), 2);
  repaint();
  expect([a.drawn, b.drawn]).toEqual([[1, 2], [1]]);
  expect([a.sizes.length, b.sizes.length]).toEqual([1, 1]);
});
