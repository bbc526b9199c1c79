//! How large the installer is, where one was made.
//!
//! Not here: making it (`cargo xtask dist`).

use crate::common::figure::{Figure, Goal};
use std::fs::read_dir;
use std::path::Path;

/// Megabytes (10⁶ bytes) of the newest `.deb` in `target/dist`.
pub(crate) fn package() -> Figure {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), Into::into)
        .join("dist");
    let files = read_dir(folder).into_iter().flatten().flatten();
    let packages = files.filter(|file| file.path().extension().is_some_and(|e| e == "deb"));
    let newest = packages.filter_map(|file| file.metadata().ok()).max_by_key(|data| data.modified().ok());
    let what = if newest.is_some() { "release installer (.deb)" } else { "release installer (.deb): not built" };
    Figure::one(what, newest.map(|data| data.len() as f64 / 1e6), "MB", Goal::Median(12.0))
}
