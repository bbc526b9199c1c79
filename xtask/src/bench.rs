//! `cargo xtask bench`: figures, from release builds.
//!
//! Belongs here: finding the bench programs, building what they measure, the table of what they found.
//! Not here: the measuring (each package's `benches/`).
//!
//! A bench program is a cargo bench target. Each line of its output that is a JSON object with a `figure` is a row of the table; the
//! rest is shown as it comes.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::{
    cargo::{self, Profile},
    judges, process, progress,
    test::END_TO_END,
    tools::{self, Install, Need},
    ui,
};

/// Measure, on release builds, and print a table with the goals beside the figures.
///
/// Without a name all bench programs run. The table is also kept in target/xtask/bench-NAME.md.
///
/// Examples:
///   cargo xtask bench --list
///   cargo xtask bench consult
///   cargo xtask bench consult -- --quick hls join
///   cargo xtask bench relay -- rtmp whep
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Only these bench programs.
    names: Vec<String>,
    /// Name the bench programs and end.
    #[arg(long)]
    list: bool,
    /// Install nothing; trust that everything is there.
    #[arg(long)]
    skip_install: bool,
    /// For the bench programs themselves: what they shall measure, and how.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The one that measures the app's window, too.
const OF_THE_APP: &str = "consult";

struct Program {
    package: String,
    name: String,
}

/// One measured figure, as a bench program prints it.
#[derive(Debug, Deserialize, PartialEq)]
struct Figure {
    /// What was measured.
    figure: String,
    /// Median of the runs, or the one value.
    p50: Option<f64>,
    /// So much or less in 95 of 100.
    p95: Option<f64>,
    /// Of both numbers: `ms`, `%`, `MB` …
    #[serde(default)]
    unit: String,
    /// In words: `≤ 12 ms p95`.
    #[serde(default)]
    goal: String,
    /// Whether the goal was met; absent where there is none.
    met: Option<bool>,
}

pub(crate) fn bench(args: &Args) -> Result<()> {
    let programs = programs(&args.names)?;
    if args.list || programs.is_empty() {
        for program in &programs {
            println!("{:<16} in {}", program.name, program.package);
        }
        if programs.is_empty() {
            println!("There is no bench program{}.", if args.names.is_empty() { " yet" } else { " of that name" });
        }
        return if programs.is_empty() && !args.names.is_empty() { bail!("nothing was measured") } else { Ok(()) };
    }
    let end_to_end = programs.iter().any(|program| program.package == END_TO_END);
    let app = programs.iter().any(|program| program.name == OF_THE_APP);
    let needs: &[Need] = match (app, end_to_end) {
        (true, _) => &[Need::Build, Need::Window, Need::VirtualDisplay, Need::Tests, Need::EndToEnd],
        (false, true) => &[Need::Build, Need::Tests, Need::EndToEnd],
        (false, false) => &[Need::Build],
    };
    tools::ensure(needs, if args.skip_install { Install::Skip } else { Install::Missing })?;
    progress::step("Building the relay (release)", || build(cargo::RELAY, cargo::RELAY_BIN))?;
    if app {
        ui::build()?;
        progress::step("Building the app (release)", || build(cargo::APP, cargo::APP))?;
    }
    let mut failed = Vec::new();
    for program in &programs {
        let (figures, outcome) = progress::step(&format!("Measuring {}", program.name), || measure(program, args))?;
        let table = table(&figures);
        let path = process::scratch()?.join(format!("bench-{}.md", program.name));
        std::fs::write(&path, &table).with_context(|| format!("cannot write {}", path.display()))?;
        println!("\n{table}");
        // What was measured before something failed is worth seeing.
        failed.extend(outcome.err());
    }
    failed.into_iter().next().map_or(Ok(()), Err)
}

fn programs(names: &[String]) -> Result<Vec<Program>> {
    let metadata = cargo::metadata()?;
    let benches = metadata.members().flat_map(|package| {
        let targets = package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bench"));
        targets.map(|target| Program { package: package.name.clone(), name: target.name.clone() })
    });
    Ok(benches.filter(|program| names.is_empty() || names.contains(&program.name)).collect())
}

fn build(package: &str, bin: &str) -> Result<()> {
    let mut command = cargo::cargo("build");
    // By package, as it is shipped: the workspace's features would bring what only tests ask for.
    command.args(["--package", package, "--bin", bin]).args(Profile::Release.args());
    process::run(&mut command)
}

/// What a bench program found, and how it ended.
fn measure(program: &Program, args: &Args) -> Result<(Vec<Figure>, Result<()>)> {
    let mut command = cargo::cargo("bench");
    command.args(["--package", &program.package, "--bench", &program.name]);
    command.arg("--").args(&args.arguments);
    let judges = judges::places()?;
    command.env("VISAVIS_BIN", Profile::Release.program(cargo::APP)?);
    command.env("VISAVIS_RELAY_BIN", Profile::Release.program(cargo::RELAY_BIN)?);
    command.env("VISAVIS_PYTHON", judges.python).env("VISAVIS_JUDGES", judges.node);
    command.env("VISAVIS_OUTPUT", process::root().join("tests/output"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo bench")?;
    let mut figures = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no output to read")?).lines() {
        let line = line?;
        match serde_json::from_str::<Figure>(&line) {
            Ok(figure) => figures.push(figure),
            Err(_) => println!("{line}"),
        }
    }
    let ended = child.wait()?;
    let outcome = if ended.success() { Ok(()) } else { Err(anyhow!("`{}` failed", process::line(&command))) };
    Ok((figures, outcome))
}

fn table(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return "It printed no figure.\n".into();
    }
    let mut text = String::from("| what | p50 | p95 | goal | met |\n| --- | --- | --- | --- | --- |\n");
    let number = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "–".into(), |value| format!("{value:.2} {unit}").trim().to_owned())
    };
    for figure in figures {
        let met = match figure.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        let (p50, p95) = (number(figure.p50, &figure.unit), number(figure.p95, &figure.unit));
        text += &format!("| {} | {p50} | {p95} | {} | {met} |\n", figure.figure, figure.goal);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_table() {
        let figure: Figure = serde_json::from_str(
            r#"{"figure":"RTMP in → out","p50":0.4,"p95":1.5,"unit":"ms","goal":"≤ 2 ms p95","met":true}"#,
        )
        .unwrap();
        let bare: Figure = serde_json::from_str(r#"{"figure":"joining","p50":7}"#).unwrap();
        let text = table(&[figure, bare]);
        assert!(text.contains("| RTMP in → out | 0.40 ms | 1.50 ms | ≤ 2 ms p95 | yes |"), "{text}");
        assert!(text.contains("| joining | 7.00 | – |  | – |"), "{text}");
        assert!(serde_json::from_str::<Figure>(r#"{"reason":"compiler-artifact"}"#).is_err());
    }
}
