//! `cargo xtask check`: everything that is judged without running the program. `cargo xtask bless`: renew what is generated.
//!
//! Belongs here: formats, types, lints, documentation, generated files that must be fresh.
//! Not here: tests of behaviour (`test`).

use anyhow::{Result, bail};

use crate::{
    cargo, licences, process, progress,
    tools::{self, Install, Need},
    ui,
};

/// Formats, types, lints, documentation and generated files; no test of behaviour but the page's units.
///
/// Installs what a build needs if it is missing. Fails without nasm.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install nothing; trust that everything is there.
    #[arg(long)]
    skip_install: bool,
}

/// Renew everything that is generated: formats, the third-party list, the page's types.
#[derive(Debug, clap::Args)]
pub(crate) struct BlessArgs {}

pub(crate) fn check(args: &Args) -> Result<()> {
    tools::ensure(&[Need::Build], if args.skip_install { Install::Skip } else { Install::Missing })?;
    // Cheap ones first: they fail most often.
    progress::step("Format", || process::run(cargo::cargo("fmt").args(["--all", "--check"])))?;
    progress::step("Lock file", || process::run(cargo::cargo("fetch").arg("--locked")))?;
    progress::step("Third-party list and licences", licences::check)?;
    ui::check()?;
    // Tauri reads the built page while it compiles, so it comes before any lint of the app.
    ui::build()?;
    let page = ui::test()?;
    if page.failed > 0 {
        bail!("the page's unit tests: {page}");
    }
    progress::step("Lints", || {
        let mut clippy = cargo::cargo("clippy");
        clippy.args(["--workspace", "--all-targets", "--locked"]).args(cargo::app_features()?);
        process::run(clippy.args(["--", "-D", "warnings"]))
    })?;
    progress::step("Documentation", || {
        let mut doc = cargo::cargo("doc");
        doc.args(["--workspace", "--no-deps", "--locked"]).args(cargo::app_features()?);
        process::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })
}

pub(crate) fn bless(_: &BlessArgs) -> Result<()> {
    tools::ensure(&[Need::Build], Install::Missing)?;
    progress::step("Format", || process::run(cargo::cargo("fmt").arg("--all")))?;
    progress::step("Third-party list", licences::write)?;
    ui::build()?;
    // The test that compares the generated types writes them instead when it is asked to.
    progress::step("The page's types", || {
        let mut test = cargo::cargo("test");
        test.args(["--package", cargo::APP]).args(cargo::app_features()?).arg("bindings");
        process::run(test.env("VISAVIS_BLESS", "1"))
    })
}
