/**
 * Pictures onto a canvas: the newest one at each repaint, the others closed unseen.
 *
 * Belongs here: latest-wins, size changes, the tint of a surround. Not here: where pictures come from (`player.ts`), layout (`components/Picture`).
 */

export interface Drawable {
  readonly source: CanvasImageSource;
  readonly width: number;
  readonly height: number;
  readonly mirrored: boolean;
  close(): void;
}

export interface Size {
  width: number;
  height: number;
  mirrored: boolean;
}

export interface Screen {
  canvas: HTMLCanvasElement;
  /** A few pixels of the picture's own light, stretched behind one that does not fill its frame. */
  tint?: HTMLCanvasElement | null;
  /** The picture's size changed, or the first picture came. */
  size(size: Size): void;
  /** A picture was drawn; `sequence` counts its stream. */
  drawn?(sequence: number): void;
}

type Repaint = (callback: () => void) => void;

export class Painter {
  readonly #repaint: Repaint;
  #screen: Screen | null = null;
  #next: { picture: Drawable; sequence: number; drawn: (() => void) | undefined } | null = null;
  #size: Size | null = null;
  #scheduled = false;

  constructor(repaint: Repaint = (callback) => void requestAnimationFrame(callback)) {
    this.#repaint = repaint;
  }

  /** Draws onto `screen` from now on; returns the way to stop. */
  attach(screen: Screen): () => void {
    this.#screen = screen;
    this.#size = null;
    this.#schedule();
    return () => {
      if (this.#screen === screen) this.#screen = null;
    };
  }

  /** Takes over `picture` and closes it, drawn or not. `drawn` is called only if it was. */
  show(picture: Drawable, sequence: number, drawn?: () => void): void {
    this.#next?.picture.close();
    this.#next = { picture, sequence, drawn };
    this.#schedule();
  }

  /** Forgets the picture that waits; what is on the canvas stays. */
  drop(): void {
    this.#next?.picture.close();
    this.#next = null;
  }

  #schedule(): void {
    if (this.#scheduled || this.#next === null || this.#screen === null) return;
    this.#scheduled = true;
    this.#repaint(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw(): void {
    const next = this.#next;
    const screen = this.#screen;
    if (next === null || screen === null) return;
    this.#next = null;
    const { picture, sequence, drawn } = next;
    const { width, height, mirrored } = picture;
    const first = this.#size === null;
    const resized = first || this.#size?.width !== width || this.#size.height !== height;
    if (resized || this.#size?.mirrored !== mirrored) {
      if (resized) {
        screen.canvas.width = width;
        screen.canvas.height = height;
      }
      this.#size = { width, height, mirrored };
      screen.size(this.#size);
    }
    screen.canvas.getContext('2d')?.drawImage(picture.source, 0, 0, width, height);
    if (resized) tint(screen.tint ?? null, screen.canvas);
    picture.close();
    screen.drawn?.(sequence);
    drawn?.();
  }
}

/** Columns and rows of the tint: so few that stretching them is the blur. */
const TINT_SIDE = 2;

function tint(canvas: HTMLCanvasElement | null, picture: HTMLCanvasElement): void {
  if (canvas === null) return;
  canvas.width = TINT_SIDE;
  canvas.height = TINT_SIDE;
  const context = canvas.getContext('2d');
  if (context === null) return;
  // The left and right edges alone, so that the middle of the face does not glow at the sides.
  const edge = Math.max(1, Math.round(picture.width / 8));
  const half = TINT_SIDE / 2;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture, 0, 0, edge, picture.height, 0, 0, half, TINT_SIDE);
  context.drawImage(picture, picture.width - edge, 0, edge, picture.height, half, 0, half, TINT_SIDE);
}
