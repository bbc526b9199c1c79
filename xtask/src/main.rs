//! `cargo xtask …`: everything a person runs on this project, on any system.
//!
//! Belongs here: the command line and which step follows which command.
//! Not here: the steps themselves (one module each), anything the app or the relay needs at run time (`media-core`).

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod bench;
mod cargo;
mod check;
mod children;
mod dist;
mod framebuffer;
mod fuzz;
mod judges;
mod licences;
mod process;
mod progress;
mod run;
mod spdx;
mod test;
mod tools;
mod ui;
mod virtual_display;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, run, test and package Visavis.
///
/// Needs Rust, Node (20.19 or newer) and, on Debian or Ubuntu, apt. Whatever else is missing is named, and installed,
/// before it is needed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Test(test::Args),
    Check(check::Args),
    Bench(bench::Args),
    Dist(dist::Args),
    Fuzz(fuzz::Args),
    Licences(licences::Args),
    Bless(check::BlessArgs),
}

fn main() -> ExitCode {
    match follow(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn follow(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::test(&args),
        Command::Check(args) => check::check(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Dist(args) => dist::dist(&args),
        Command::Fuzz(args) => fuzz::fuzz(&args),
        Command::Licences(args) => licences::licences(&args),
        Command::Bless(args) => check::bless(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
