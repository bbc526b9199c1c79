//! The clock card: time drawn as black and white cells that survive any codec and any scaling.
//!
//! The top two thirds of the picture are 16 columns × 7 rows of cells, most significant bit first: magic `0xA7` (8),
//! CLOCK_MONOTONIC in µs (48), frame index (24), flags (8), stream (8), CRC-16/CCITT over the 12 bytes before it (16).

use super::canvas::Canvas;
use media::{MonoTime, Picture};
use std::time::Duration;

const COLUMNS: usize = 16;
const ROWS: usize = 7;
const MAGIC: u8 = 0xA7;
const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// Bytes before the CRC.
const BODY: usize = 12;

/// What a clock card says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// When it was drawn, on the drawing machine's monotonic clock (48 bits of microseconds: nine years).
    pub drawn: MonoTime,
    /// Its number, modulo 2²⁴.
    pub frame: u32,
    /// Does a beep start with it?
    pub beep: bool,
    /// How long after its time it was drawn, in whole milliseconds, at most 127.
    pub late: Duration,
    /// Which stream it belongs to.
    pub stream: u8,
}

impl ClockReading {
    fn bytes(&self) -> [u8; BODY + 2] {
        let mut out = [0; BODY + 2];
        let micros = self.drawn.micros().to_be_bytes();
        let frame = self.frame.to_be_bytes();
        let late = u8::try_from(self.late.as_millis().min(127)).unwrap_or(127);
        out[0] = MAGIC;
        out[1..7].copy_from_slice(&micros[2..]);
        out[7..10].copy_from_slice(&frame[1..]);
        out[10] = late << 1 | u8::from(self.beep);
        out[11] = self.stream;
        let crc = crc16(&out[..BODY]);
        out[BODY..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn parse(bytes: [u8; BODY + 2]) -> Option<Self> {
        let (body, crc) = bytes.split_at(BODY);
        if body[0] != MAGIC || crc != crc16(body).to_be_bytes() {
            return None;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        Some(Self {
            drawn: MonoTime::from_micros(number(&body[1..7])),
            frame: u32::try_from(number(&body[7..10])).ok()?,
            beep: body[10] & 1 == 1,
            late: Duration::from_millis(u64::from(body[10] >> 1)),
            stream: body[11],
        })
    }
}

/// CRC-16/CCITT: polynomial 0x1021, initial value 0xFFFF.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// Where the `n`th of `count` cells begins along `side` pixels.
const fn edge(n: usize, count: usize, side: usize) -> usize {
    n * side / count
}

/// Draws clock cards of one size; what does not move is drawn once.
#[derive(Debug, Clone)]
pub struct ClockCard {
    still: Canvas,
}

impl ClockCard {
    /// Cards of `width` × `height`, made even; readable from 48 × 32 on.
    pub fn new(width: u32, height: u32) -> Self {
        let mut still = Canvas::new(width, height);
        still.gradient([0xF2, 0xF4, 0xF1], [0xD9, 0xEB, 0xE4]);
        Self { still }
    }

    /// The card that says `reading`. `phase` moves what is below the cells, so that there is motion to code: one turn for each
    /// whole number.
    pub fn draw(&self, reading: &ClockReading, phase: f64, captured: MonoTime) -> Picture {
        let mut canvas = self.still.clone();
        let (w, h) = (canvas.width() as f32, canvas.height() as f32);
        let sin = ((phase.fract() * std::f64::consts::TAU) as f32).sin();
        canvas.disc(w * (0.5 + 0.42 * sin), h * 0.84, h * 0.07, [0xC4, 0x6A, 0x24], 1.0);
        canvas.disc(w * (0.5 - 0.42 * sin), h * 0.84, h * 0.05, [0x17, 0x69, 0x5A], 1.0);
        let (width, clock_height) = (canvas.width(), canvas.height() * 2 / 3);
        let bytes = reading.bytes();
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let bit = row * COLUMNS + column;
                let white = bytes[bit / 8] >> (7 - bit % 8) & 1 == 1;
                let (x0, x1) = (edge(column, COLUMNS, width), edge(column + 1, COLUMNS, width));
                let (y0, y1) = (edge(row, ROWS, clock_height), edge(row + 1, ROWS, clock_height));
                canvas.block(x0, y0, x1, y1, if white { WHITE } else { BLACK });
            }
        }
        canvas.finish(captured)
    }
}

/// Reads the clock card in `picture`; `None` where there is none, or it is damaged.
pub fn read_clock(picture: &Picture) -> Option<ClockReading> {
    let (luma, width) = (picture.planes().0, picture.width() as usize);
    read_clock_luma(luma, width, picture.height() as usize, width)
}

/// Reads the clock card in a luma plane of `width` × `height` whose rows are `stride` bytes apart. Any scale, any range: each cell
/// is the mean of its middle, black and white are what the darkest and the brightest cell are.
pub fn read_clock_luma(luma: &[u8], width: usize, height: usize, stride: usize) -> Option<ClockReading> {
    let clock_height = height * 2 / 3;
    // A cell of two pixels has no middle that scaling leaves alone.
    if width < COLUMNS * 3 || clock_height < ROWS * 3 || stride < width || height > 1 << 15 || width > 1 << 15 {
        return None;
    }
    let mut means = [0_u32; COLUMNS * ROWS];
    for (index, mean) in means.iter_mut().enumerate() {
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        let (x0, x1) = (edge(column, COLUMNS, width), edge(column + 1, COLUMNS, width));
        let (y0, y1) = (edge(row, ROWS, clock_height), edge(row + 1, ROWS, clock_height));
        let (dx, dy) = ((x1 - x0) / 4, (y1 - y0) / 4);
        let (mut sum, mut count) = (0_u32, 0_u32);
        for y in y0 + dy..y1 - dy {
            let row = luma.get(y * stride + x0 + dx..y * stride + x1 - dx)?;
            sum += row.iter().map(|s| u32::from(*s)).sum::<u32>();
            count += u32::try_from(row.len()).ok()?;
        }
        *mean = sum.checked_div(count)?;
    }
    let (dark, bright) = (*means.iter().min()?, *means.iter().max()?);
    // The magic alone has both; less contrast than this is no card.
    if bright - dark < 48 {
        return None;
    }
    let middle = dark.midpoint(bright);
    let mut bytes = [0_u8; BODY + 2];
    for (byte, cells) in bytes.iter_mut().zip(means.chunks_exact(8)) {
        *byte = cells.iter().fold(0, |b, mean| b << 1 | u8::from(*mean > middle));
    }
    ClockReading::parse(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn reading(n: u64) -> ClockReading {
        ClockReading {
            drawn: MonoTime::from_micros(123_456_789_012 + n * 33_333),
            frame: u32::try_from(n).unwrap(),
            beep: n.is_multiple_of(30),
            late: Duration::from_millis(n % 128),
            stream: 7,
        }
    }

    fn card(width: u32, height: u32, reading: &ClockReading) -> Picture {
        ClockCard::new(width, height).draw(reading, f64::from(reading.frame) / 30.0, reading.drawn)
    }

    #[test]
    fn crc_is_the_usual_one() {
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }

    /// The layout, byte for byte, cell for cell, as others read it.
    #[test]
    fn layout() {
        let r = ClockReading { drawn: MonoTime::from_micros(0x0102_0304_0506), frame: 0x0A_0B0C, ..reading(0) };
        let bytes = r.bytes();
        assert_eq!(bytes[..12], [0xA7, 1, 2, 3, 4, 5, 6, 0x0A, 0x0B, 0x0C, 1, 7]);
        let picture = card(640, 360, &r);
        let at = |x: usize, y: usize| picture.planes().0[y * 640 + x];
        // 0xA7 = 1010_0111: the first eight of sixteen columns, 40 pixels each; rows of 240 / 7 pixels.
        let top: Vec<u8> = (0..8).map(|c| at(c * 40 + 20, 17)).collect();
        assert_eq!(top, [235, 16, 235, 16, 16, 235, 235, 235]);
        let crc_low = u16::from_be_bytes([bytes[12], bytes[13]]) & 1;
        assert_eq!(at(639, 239), if crc_low == 1 { 235 } else { 16 });
    }

    /// Another program codes and scales it.
    #[test]
    fn is_read_after_coding_and_scaling() {
        let check = |width: u32, height: u32, filter: &str, size: (usize, usize), bitrate: &str| {
            let frames: Vec<ClockReading> = (0..20).map(reading).collect();
            let raw: Vec<u8> = frames.iter().flat_map(|r| card(width, height, r).data().to_vec()).collect();
            let geometry = format!("{width}x{height}");
            let raw_input = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &geometry, "-r", "30", "-i", "pipe:0"];
            let coded = pipe(
                &[
                    &raw_input[..],
                    &["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", bitrate],
                ]
                .concat(),
                &["-f", "h264"],
                raw,
            );
            let decoded =
                pipe(&["-f", "h264", "-i", "pipe:0", "-vf", filter], &["-f", "rawvideo", "-pix_fmt", "gray"], coded);
            let got: Vec<_> = decoded
                .chunks_exact(size.0 * size.1)
                .map(|luma| read_clock_luma(luma, size.0, size.1, size.0))
                .collect();
            let want: Vec<_> = frames.into_iter().map(Some).collect();
            assert_eq!(got, want, "{width}×{height} {filter}");
        };
        check(640, 360, "null", (640, 360), "600k");
        check(1280, 720, "scale=320:180", (320, 180), "1500k");
        check(640, 480, "scale=854:640:flags=bilinear", (854, 640), "500k");
        check(320, 240, "scale=in_range=tv:out_range=pc", (320, 240), "300k");
    }

    fn pipe(input: &[&str], output: &[&str], bytes: Vec<u8>) -> Vec<u8> {
        let mut child = Command::new("ffmpeg")
            .args(["-v", "error"])
            .args(input)
            .args(output)
            .arg("pipe:1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg is installed");
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
        let out = child.wait_with_output().unwrap();
        writer.join().unwrap();
        out.stdout
    }

    #[test]
    fn damage_and_other_pictures_are_not_read() {
        let picture = card(640, 360, &reading(3));
        let mut data = picture.data().to_vec();
        for y in 100..140 {
            data[y * 640 + 200..y * 640 + 260].fill(16);
        }
        let damaged = Picture::new(640, 360, data, picture.captured()).unwrap();
        assert!(read_clock(&damaged).is_none() || read_clock(&damaged) == read_clock(&picture));
        assert_eq!(read_clock_luma(&[0; 640 * 360], 640, 360, 640), None);
        assert_eq!(read_clock_luma(&[255; 10], 640, 360, 640), None);
        assert_eq!(read_clock_luma(&[], 0, 0, 0), None);
    }

    proptest! {
        #[test]
        fn round_trips(micros in 0_u64..1 << 48, frame in 0_u32..1 << 24, beep: bool, late in 0_u64..128, stream: u8,
                       w in 32_u32..200, h in 32_u32..200) {
            let r = ClockReading { drawn: MonoTime::from_micros(micros), frame, beep, late: Duration::from_millis(late), stream };
            prop_assert_eq!(ClockReading::parse(r.bytes()), Some(r));
            let picture = card(w * 2, h * 2, &r);
            prop_assert_eq!(read_clock(&picture), Some(r));
        }

        #[test]
        fn any_bytes_keep_the_promise(data in prop::collection::vec(any::<u8>(), 0..3000)) {
            crate::fuzz::fuzz_clock_card(&data);
        }
    }
}
