//! Visavis, the desktop app: a window round the engine.
//!
//! Reading order: [`launch`] (command line), [`gui`] (the window), [`controller`] (who does what when), [`draw`] (engine to view
//! and back), [`view`] (the shapes that cross).
//! Belongs here: the shell. Not here: anything a consultation does (`engine`).
#![cfg_attr(windows, windows_subsystem = "windows")]
#![forbid(unsafe_code)]

#[cfg(test)]
mod bindings;
mod controller;
mod draw;
mod gui;
mod launch;
mod view;

fn main() -> std::process::ExitCode {
    launch::main()
}
