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
  /** Each screen with the size it was told last. */
  readonly #screens = new Map<Screen, Size | null>();
  #next: { picture: Drawable; sequence: number; drawn: (() => void) | undefined } | null = null;
  #scheduled = false;

  constructor(repaint: Repaint = (callback) => void requestAnimationFrame(callback)) {
    this.#repaint = repaint;
  }

  /** Draws onto `screen` too from now on; returns the way to stop. */
  attach(screen: Screen): () => void {
    this.#screens.set(screen, null);
    return () => {
      this.#screens.delete(screen);
      if (this.#screens.size === 0) this.drop();
    };
  }

  /**
   * Takes over `picture` and closes it, drawn or not. `drawn` is called once it is on screen, and only then. Nothing is kept for a screen that comes
   * later: it could be another visit's.
   */
  show(picture: Drawable, sequence: number, drawn?: () => void): void {
    this.drop();
    if (this.#screens.size === 0) {
      picture.close();
      return;
    }
    this.#next = { picture, sequence, drawn };
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#repaint(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  /** How high the tallest screen is, in the display's own pixels; 0 without one. */
  height(): number {
    const heights = [...this.#screens.keys()].map(({ canvas }) => canvas.clientHeight * devicePixelRatio);
    return Math.round(Math.max(0, ...heights));
  }

  /** Forgets the picture that waits; what is on a canvas stays. */
  drop(): void {
    this.#next?.picture.close();
    this.#next = null;
  }

  #draw(): void {
    const next = this.#next;
    if (next === null) return;
    this.#next = null;
    const { picture, sequence, drawn } = next;
    for (const [screen, size] of this.#screens) this.#drawOn(screen, size, picture, sequence);
    picture.close();
    // What is drawn in one refresh is on screen with the next.
    if (drawn !== undefined) this.#repaint(drawn);
  }

  #drawOn(screen: Screen, size: Size | null, picture: Drawable, sequence: number): void {
    const { canvas } = screen;
    const { width, height, mirrored } = picture;
    const resized = size?.width !== width || size.height !== height;
    if (resized || size.mirrored !== mirrored) {
      if (resized) {
        canvas.width = width;
        canvas.height = height;
      }
      const now = { width, height, mirrored };
      this.#screens.set(screen, now);
      screen.size(now);
    }
    canvas.getContext('2d')?.drawImage(picture.source, 0, 0, width, height);
    if (resized) tint(screen.tint ?? null, canvas);
    screen.drawn?.(sequence);
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
