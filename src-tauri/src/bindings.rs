//! The view models as TypeScript, in `ui/src/generated/bindings.ts`.
//!
//! The test fails where the file is not what `view` says; `BLESS=1 cargo test -p visavis bindings` writes it.

use crate::view::{
    AppError, AppView, Appearance, DelayParts, DelayView, DeviceKind, DeviceState, DeviceView, DevicesView, Language,
    NetworkKind, NetworkView, Notice, PatientUrls, Phase, PictureState, Ports, RemoteView, Server, ServerPorts,
    SettingsView, Trouble, Validity, VisitView,
};
use std::path::Path;
use ts_rs::{Config, TS};

const HEADER: &str =
    "// Generated from `src-tauri/src/view.rs` by `BLESS=1 cargo test -p visavis bindings`. Do not edit.\n";

fn declaration<T: TS + 'static>(config: &Config) -> String {
    format!("\n{}export {}\n", T::docs().unwrap_or_default(), T::decl(config))
}

fn generated() -> String {
    // Milliseconds since 1970 are the largest number, far below 2^53.
    let c = &Config::new().with_large_int("number");
    let all = [
        declaration::<AppView>(c),
        declaration::<VisitView>(c),
        declaration::<Phase>(c),
        declaration::<RemoteView>(c),
        declaration::<PictureState>(c),
        declaration::<DelayView>(c),
        declaration::<DelayParts>(c),
        declaration::<PatientUrls>(c),
        declaration::<Validity>(c),
        declaration::<DevicesView>(c),
        declaration::<DeviceView>(c),
        declaration::<DeviceState>(c),
        declaration::<NetworkView>(c),
        declaration::<NetworkKind>(c),
        declaration::<SettingsView>(c),
        declaration::<Language>(c),
        declaration::<Appearance>(c),
        declaration::<Server>(c),
        declaration::<Ports>(c),
        declaration::<ServerPorts>(c),
        declaration::<Notice>(c),
        declaration::<DeviceKind>(c),
        declaration::<Trouble>(c),
        declaration::<AppError>(c),
    ];
    // The generator leaves spaces at the ends of lines.
    let lines: Vec<&str> = all.iter().flat_map(|text| text.lines()).map(str::trim_end).collect();
    format!("{HEADER}{}\n", lines.join("\n"))
}

#[test]
fn bindings_are_what_view_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/generated/bindings.ts");
    let want = generated();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let got = std::fs::read_to_string(&path).unwrap();
    assert!(got == want, "{} is stale: run BLESS=1 cargo test -p visavis bindings", path.display());
}
