//! Another machine, as far as the network can tell: a network namespace joined to this one by a pair of virtual Ethernet ports.
//!
//! Needs root and iproute2. Not here: what runs in it (`relay`).

use crate::program::run;
use anyhow::Result;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

/// A namespace with one network of two addresses. Dropping it removes it with both ports of the pair.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    near: Ipv4Addr,
    far: Ipv4Addr,
}

impl Namespace {
    /// Makes it.
    ///
    /// # Errors
    /// Where `ip` is missing, or we are not root.
    pub fn new() -> Result<Self> {
        let id = std::process::id();
        // 198.18.0.0/15 is for tests between networks (RFC 2544); every process takes four addresses of its own.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (id % (1 << 15)) * 4;
        let (near, far) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        // Interface names have 15 characters at most.
        let made = Self { name: format!("vis{id}"), near, far };
        let (name, inner, outer) = (made.name.as_str(), made.inner(), made.outer());
        ip(&["netns", "add", name])?;
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", &inner, "netns", name])?;
        ip(&["addr", "add", &format!("{near}/30"), "dev", &outer])?;
        ip(&["link", "set", &outer, "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{far}/30"), "dev", &inner])?;
        ip(&["-n", name, "link", "set", &inner, "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(made)
    }

    /// This side's address.
    pub const fn near(&self) -> Ipv4Addr {
        self.near
    }

    /// The namespace's address.
    pub const fn far(&self) -> Ipv4Addr {
        self.far
    }

    /// A command that runs `program` inside; `ip` becomes the program, so signals reach it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    fn inner(&self) -> String {
        format!("{}i", self.name)
    }

    fn outer(&self) -> String {
        format!("{}o", self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // One port takes the other along. What was never made is as good as gone.
        let _gone = ip(&["link", "del", &self.outer()]);
        let _gone = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}
