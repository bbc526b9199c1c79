/**
 * Whether this window really decodes H.264: one tiny key frame, in and out.
 *
 * Belongs here: the proof. Not here: what follows from it (the shell decodes instead and sends I420).
 */
import { codecString } from './annexb';

/** One 64×64 picture of one colour, constrained baseline, Annex B: SPS, PPS, IDR slice. */
const KEY_UNIT = 'AAAAAWdCwAqmERCbARAAAAMAEAAAAwMo8SJhGAAAAAFoyEIPLIAAAAFliIICXiMUAAUw44AAgiRwABJXk5OTrrrrrrrrrrrrwA==';
const SIDE = 64;

/** A cold start of the decoder's plugins on a slow computer; longer than this is a failure too. */
const PATIENCE_MS = 5000;

/** `isConfigSupported` is no proof: decoders exist that accept the configuration and then fail on every unit. */
export async function selfTest(): Promise<boolean> {
  if (typeof VideoDecoder === 'undefined' || typeof EncodedVideoChunk === 'undefined' || typeof VideoFrame === 'undefined') return false;
  const data = Uint8Array.from(atob(KEY_UNIT), (c) => c.charCodeAt(0));
  const codec = codecString(data);
  if (codec === null) return false;
  let decoder: VideoDecoder | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), PATIENCE_MS);
      decoder = new VideoDecoder({
        output: (frame) => {
          const right = frame.displayWidth === SIDE && frame.displayHeight === SIDE;
          frame.close();
          resolve(right);
        },
        error: () => resolve(false),
      });
      decoder.configure({ codec, optimizeForLatency: true });
      decoder.decode(new EncodedVideoChunk({ type: 'key', timestamp: 0, data }));
      // A flush that fails is told through `error`; one that succeeds has called `output`.
      decoder.flush().catch(() => resolve(false));
    });
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    const open = decoder as VideoDecoder | null;
    if (open !== null && open.state !== 'closed') open.close();
  }
}
