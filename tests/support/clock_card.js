// What a page that plays sees and hears: the clock card in the picture, the tone in the sound.
const COLUMNS = 16, ROWS = 7, canvas = document.createElement("canvas");

// Each cell becomes eight by eight pixels, of which one in the middle is read: whole pictures read back would keep a small machine busy by themselves.
const CELL = 8;
Object.assign(canvas, { width: COLUMNS * CELL, height: ROWS * CELL });
const draw = canvas.getContext("2d", { willReadFrequently: true });

// The card that the video shows now; null where none can be read.
function card(video) {
  draw.drawImage(video, 0, 0, video.videoWidth, Math.floor(video.videoHeight * 2 / 3), 0, 0, canvas.width, canvas.height);
  const { data } = draw.getImageData(0, 0, canvas.width, canvas.height), bytes = new Uint8Array(14);
  for (let cell = 0; cell < COLUMNS * ROWS; cell += 1) {
    const x = (cell % COLUMNS + .5) * CELL, y = (Math.floor(cell / COLUMNS) + .5) * CELL;
    if (data[(y * canvas.width + x) * 4 + 1] > 127) bytes[cell >> 3] |= 0x80 >> (cell & 7);
  }
  let crc = 0xFFFF;
  for (const byte of bytes.subarray(0, 12)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xFFFF;
  }
  const good = bytes[0] === 0xA7 && crc === (bytes[12] << 8 | bytes[13]);
  return good ? { frame: bytes[7] << 16 | bytes[8] << 8 | bytes[9], stream: bytes[11] } : null;
}

// Adds to `tones` the frequency of what `node` lets hear, fifty times a second, while there is something.
function listen(node, tones) {
  const analyser = new AnalyserNode(node.context, { fftSize: 4096, smoothingTimeConstant: 0 });
  node.connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  setInterval(() => {
    analyser.getFloatFrequencyData(bins);
    const loudest = bins.indexOf(Math.max(...bins));
    if (bins[loudest] > -35) tones.push(loudest * node.context.sampleRate / analyser.fftSize);
  }, 20);
}

// The cards and tones in short.
function judged(cards, unread, tones) {
  const frames = cards.map(c => c.frame);
  const falls = frames.filter((f, i) => i && f < frames[i - 1]).length;
  return { cards: cards.length, unread, falls, span: frames.at(-1) - frames[0], stream: cards[0]?.stream,
    tone: tones.sort((a, b) => a - b)[tones.length >> 1] };
}
