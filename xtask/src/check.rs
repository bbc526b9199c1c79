//! `cargo xtask check`: everything that is judged without running the program. `cargo xtask bless`: renew what is generated.
//!
//! Belongs here: formats, types, lints, documentation, generated files that must be fresh.
//! Not here: tests of behaviour (`test`).

use anyhow::{Result, bail};
use clap::ValueEnum as _;

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
    /// Only these steps.
    #[arg(value_enum)]
    steps: Vec<Step>,
    /// Install nothing; trust that everything is there.
    #[arg(long)]
    skip_install: bool,
}

/// In the order they run: cheap ones first, because they fail most often; the page before whatever compiles the app, which carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// rustfmt changes nothing.
    Format,
    /// Cargo.lock fits the manifests.
    Lock,
    /// THIRD-PARTY.md is fresh, and everything in it may be shipped.
    Licences,
    /// The page's types, lints, build and unit tests.
    Page,
    /// Clippy on every target.
    Lints,
    /// rustdoc: every public item has words, every link leads somewhere.
    Documentation,
}

/// Renew everything that is generated: formats, the third-party list, the page's types, README's support matrix.
#[derive(Debug, clap::Args)]
pub(crate) struct BlessArgs {}

pub(crate) fn check(args: &Args) -> Result<()> {
    tools::ensure(&[Need::Build], if args.skip_install { Install::Skip } else { Install::Missing })?;
    let steps = if args.steps.is_empty() { Step::value_variants() } else { &args.steps };
    for step in steps {
        match step {
            Step::Format => progress::step("Format", || process::run(cargo::cargo("fmt").args(["--all", "--check"]))),
            Step::Lock => progress::step("Lock file", || process::run(cargo::cargo("fetch").arg("--locked"))),
            Step::Licences => progress::step("Third-party list and licences", licences::check),
            Step::Page => page(),
            Step::Lints => progress::step("Lints", lints),
            Step::Documentation => progress::step("Documentation", documentation),
        }?;
    }
    Ok(())
}

fn page() -> Result<()> {
    ui::check()?;
    ui::build()?;
    let counts = ui::test()?;
    if counts.failed > 0 {
        bail!("the page's unit tests: {counts}");
    }
    Ok(())
}

fn lints() -> Result<()> {
    ui::build()?;
    let mut clippy = cargo::cargo("clippy");
    clippy.args(["--workspace", "--all-targets", "--locked"]);
    process::run(clippy.args(["--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    ui::build()?;
    let mut doc = cargo::cargo("doc");
    doc.args(["--workspace", "--no-deps", "--locked"]);
    // A public module may point its reader at a private one beside it: both are read in the same checkout.
    process::run(doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}

pub(crate) fn bless(_: &BlessArgs) -> Result<()> {
    tools::ensure(&[Need::Build], Install::Missing)?;
    progress::step("Format", || process::run(cargo::cargo("fmt").arg("--all")))?;
    progress::step("Third-party list", licences::write)?;
    ui::build()?;
    // The test that compares the generated types writes them when it is asked to.
    progress::step("The page's types", || {
        let mut test = cargo::cargo("test");
        test.args(["--workspace", "--bin", cargo::APP, "bindings"]);
        process::run(test.env("BLESS", "1"))
    })?;
    progress::step("README's support matrix", || {
        let mut test = cargo::cargo("test");
        test.args(["--workspace", "the_readme_has_this_table"]);
        process::run(test.env("BLESS", "1"))
    })
}
