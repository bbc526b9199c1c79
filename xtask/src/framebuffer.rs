//! The X window dump format, as Xvfb's `-fbdir` file holds it, to PNG.
//!
//! Belongs here: XWD version 7 with direct colours (X11's `XWDFile.h`), writing PNG.
//! Not here: running the display (`virtual_display`).

use std::{fs::File, io::BufWriter, path::Path};

use anyhow::{Context as _, Result, bail};

/// Fixed part of the header: 25 numbers of four bytes.
const HEADER: usize = 100;
/// Bytes per colour map entry that stand between header and pixels.
const COLOUR: usize = 12;
/// `file_version` of every XWD since X11.
const VERSION: u32 = 7;
/// `ZPixmap`: whole pixels in a row, not bit planes.
const Z_PIXMAP: u32 = 2;

/// What a display shows: 8 bits each of red, green and blue, rows from the top.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shot {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

impl Shot {
    /// Reads a dump with 32 bits per pixel, the only layout of a 24-bit Xvfb screen.
    pub(crate) fn parse(data: &[u8]) -> Result<Self> {
        let number = |index: usize| -> Result<u32> {
            let bytes = data.get(index * 4..index * 4 + 4).context("the dump is shorter than its header")?;
            Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let (header_size, version, format) = (number(0)? as usize, number(1)?, number(2)?);
        let (width, height, byte_order) = (number(4)?, number(5)?, number(7)?);
        let (bits, stride) = (number(11)?, number(12)? as usize);
        let masks = [number(14)?, number(15)?, number(16)?];
        let colours = number(19)? as usize;
        if version != VERSION || format != Z_PIXMAP || bits != 32 || header_size < HEADER {
            bail!("not a 32-bit X window dump (version {version}, format {format}, {bits} bits)");
        }
        let shifts = masks.map(|mask| mask.trailing_zeros());
        if masks.iter().zip(shifts).any(|(mask, shift)| mask.checked_shr(shift) != Some(0xFF)) {
            bail!("colours are not 8 bits each: masks {masks:08x?}");
        }
        let start = header_size.checked_add(colours.saturating_mul(COLOUR)).context("the dump's sizes are absurd")?;
        let row_bytes = (width as usize).saturating_mul(4);
        if stride < row_bytes || row_bytes == 0 {
            bail!("rows of {stride} bytes cannot hold {width} pixels");
        }
        let pixels = data.get(start..).unwrap_or_default();
        let mut rgb = Vec::new();
        for row in pixels.chunks(stride).take(height as usize) {
            for pixel in row.get(..row_bytes).context("the dump's last row is cut")?.chunks_exact(4) {
                let bytes = [pixel[0], pixel[1], pixel[2], pixel[3]];
                let value = if byte_order == 0 { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
                rgb.extend(shifts.map(|shift| (value >> shift) as u8));
            }
        }
        if rgb.len() != row_bytes / 4 * 3 * height as usize {
            bail!("the dump holds fewer rows than the {height} it names");
        }
        Ok(Self { width, height, rgb })
    }

    /// True while nothing has been drawn: all pixels are alike.
    pub(crate) fn is_blank(&self) -> bool {
        let mut pixels = self.rgb.chunks_exact(3);
        let first = pixels.next();
        pixels.all(|pixel| Some(pixel) == first)
    }

    pub(crate) fn save_png(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut encoder = png::Encoder::new(BufWriter::new(file), self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.rgb).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels wide, rows padded to 12 bytes, one unused colour map entry.
    fn dump(byte_order: u32) -> Vec<u8> {
        let mut numbers = [0_u32; 25];
        numbers[0] = 104;
        numbers[1] = VERSION;
        numbers[2] = Z_PIXMAP;
        numbers[4] = 2;
        numbers[5] = 2;
        numbers[7] = byte_order;
        numbers[11] = 32;
        numbers[12] = 12;
        numbers[14..17].copy_from_slice(&[0xFF_0000, 0xFF00, 0xFF]);
        numbers[19] = 1;
        let mut data: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        data.extend(b"xyz\0");
        data.extend([0xEE; COLOUR]);
        for row in [[0x0001_0203_u32, 0x0004_0506], [0x0007_0809, 0x000A_0B0C]] {
            for pixel in row {
                data.extend(if byte_order == 0 { pixel.to_le_bytes() } else { pixel.to_be_bytes() });
            }
            data.extend([0xEE; 4]);
        }
        data
    }

    #[test]
    fn both_byte_orders_read_the_same() {
        for order in [0, 1] {
            let shot = Shot::parse(&dump(order)).unwrap();
            assert_eq!((shot.width, shot.height), (2, 2));
            assert_eq!(shot.rgb, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
            assert!(!shot.is_blank());
        }
    }

    #[test]
    fn cut_or_foreign_bytes_are_refused() {
        let whole = dump(0);
        // The last row's padding may be missing, its pixels may not.
        for length in 0..whole.len() - 4 {
            assert!(Shot::parse(&whole[..length]).is_err(), "{length}");
        }
        for index in 0..HEADER {
            let mut broken = whole.clone();
            broken[index] ^= 0xFF;
            Shot::parse(&broken).ok();
        }
    }

    #[test]
    fn a_png_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/shot.png");
        let shot = Shot::parse(&dump(0)).unwrap();
        shot.save_png(&path).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap())).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        assert_eq!(rgb, shot.rgb);
    }
}
