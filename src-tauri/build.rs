//! Packs the window's configuration, capabilities and icons into the program.

fn main() {
    tauri_build::build();
}
