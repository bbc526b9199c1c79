//! What processes cost: CPU time and memory, a process alone or with all it started.
//!
//! Belongs here: /proc. Not here: starting programs (`e2e::program`).

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs::{read_dir, read_to_string};
use std::time::{Duration, Instant};

/// Ticks of `utime` and `stime` a second: the same on every Linux (proc(5), USER_HZ).
const TICKS: f64 = 100.0;

/// A process and all that descends from it.
#[derive(Debug, Clone)]
pub(crate) struct Tree(u32);

/// CPU seconds of each process of a tree.
type Used = HashMap<u32, f64>;

impl Tree {
    pub(crate) const fn of(root: u32) -> Self {
        Self(root)
    }

    fn processes(&self) -> Result<Vec<u32>> {
        let mut parents = Vec::new();
        for entry in read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Gone since it was listed.
            let Ok(fields) = stat(pid) else { continue };
            parents.push((pid, fields.parent));
        }
        let mut found = vec![self.0];
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        Ok(found)
    }

    fn used(&self) -> Result<Used> {
        let processes = self.processes()?;
        Ok(processes.into_iter().filter_map(|pid| Some((pid, stat(pid).ok()?.cpu))).collect())
    }

    /// CPU time during `time`, in percent of one core. Processes that end meanwhile do not count.
    pub(crate) fn cpu(&self, time: Duration) -> Result<f64> {
        let [used] = Self::cpu_of([self], time)?;
        Ok(used)
    }

    /// As [`Self::cpu`], of several trees in the same time.
    pub(crate) fn cpu_of<const N: usize>(trees: [&Self; N], time: Duration) -> Result<[f64; N]> {
        let all = || trees.iter().map(|tree| tree.used()).collect::<Result<Vec<Used>>>();
        let (begun, before) = (Instant::now(), all()?);
        std::thread::sleep(time);
        let (after, passed) = (all()?, begun.elapsed());
        let mut shares = [0.0; N];
        for ((share, after), before) in shares.iter_mut().zip(after).zip(before) {
            let used: f64 = after.iter().map(|(pid, cpu)| cpu - before.get(pid).copied().unwrap_or(0.0)).sum();
            *share = used / passed.as_secs_f64() * 100.0;
        }
        Ok(shares)
    }

    /// Memory in MB (10⁶ bytes): what each process has alone, and its share of what it has with others (PSS).
    pub(crate) fn memory(&self) -> Result<f64> {
        let mut sum = 0.0;
        for pid in self.processes()? {
            // Gone since it was listed.
            let Ok(text) = read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
            let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss in smaps_rollup")?;
            let kib: f64 = line.split_whitespace().nth(1).context("no number of Pss")?.parse()?;
            sum += kib * 1024.0 / 1e6;
        }
        Ok(sum)
    }

    /// Name, CPU seconds so far and memory of each, for what is kept beside the table.
    pub(crate) fn describe(&self) -> Result<String> {
        let mut text = String::new();
        for pid in self.processes()? {
            let Ok(fields) = stat(pid) else { continue };
            let memory = Self(pid).own_memory().unwrap_or_default();
            text += &format!("{pid} {}: {:.2} s of CPU, {memory:.0} MB\n", fields.name, fields.cpu);
        }
        Ok(text)
    }

    fn own_memory(&self) -> Option<f64> {
        let text = read_to_string(format!("/proc/{}/smaps_rollup", self.0)).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0 / 1e6)
    }
}

struct Stat {
    name: String,
    parent: u32,
    cpu: f64,
}

/// `/proc/PID/stat`, whose second field is a name in parentheses that may hold spaces.
fn stat(pid: u32) -> Result<Stat> {
    let text = read_to_string(format!("/proc/{pid}/stat"))?;
    let (head, rest) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).context("no number");
    Ok(Stat {
        name: head.split_once('(').map(|(_, name)| name.to_owned()).unwrap_or_default(),
        parent: fields.get(1).and_then(|f| f.parse().ok()).context("no parent")?,
        cpu: (number(11)? + number(12)?) / TICKS,
    })
}
