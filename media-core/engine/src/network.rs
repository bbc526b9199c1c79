//! Which addresses this computer has, and which of them a patient's phone can most likely reach.
//!
//! Not here: binding anything (`relay`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// What an interface is made of, as far as its name and the system tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkKind {
    /// A cable.
    Cable,
    /// Wireless.
    Wifi,
    /// A tunnel to elsewhere.
    Vpn,
    /// A bridge or a virtual machine's or container's interface.
    Virtual,
    /// This computer alone.
    Loopback,
}

/// One address of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The interface's own name.
    pub interface: String,
    /// One of its addresses.
    pub address: IpAddr,
    /// What it is made of.
    pub kind: NetworkKind,
    /// The one to use unless the user knows better; at most one of a list.
    pub suggested: bool,
}

/// All addresses of this computer, the suggested one first. Link-local IPv6 addresses are left out: they mean nothing without
/// a zone, and no phone's URL takes one.
pub(crate) fn networks() -> Vec<Network> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "interfaces cannot be listed");
        Vec::new()
    });
    let found = interfaces.into_iter().filter(|i| !matches!(i.ip(), IpAddr::V6(_)) || !i.is_link_local()).map(|i| {
        let kind = if i.is_loopback() { NetworkKind::Loopback } else { kind_of(&i.name, Path::new("/sys/class/net")) };
        (i.name.clone(), i.ip(), kind)
    });
    suggest(found)
}

/// The address that `wanted`, an interface's name or an address, stands for; without it, or where it has gone, the suggested one.
pub(crate) fn choose(networks: &[Network], wanted: Option<&str>) -> IpAddr {
    let asked = wanted.and_then(|w| networks.iter().find(|n| n.interface == w || n.address.to_string() == w));
    let chosen = asked.or_else(|| networks.iter().find(|n| n.suggested)).or(networks.first());
    chosen.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |n| n.address)
}

fn suggest(found: impl Iterator<Item = (String, IpAddr, NetworkKind)>) -> Vec<Network> {
    let mut networks: Vec<Network> =
        found.map(|(interface, address, kind)| Network { interface, address, kind, suggested: false }).collect();
    // Phones come over the LAN: cable and Wi-Fi, IPv4 and a private address before everything else.
    networks.sort_by_key(|n| {
        let private = matches!(n.address, IpAddr::V4(v4) if v4.is_private());
        let link_local = matches!(n.address, IpAddr::V4(v4) if v4.is_link_local());
        (n.kind == NetworkKind::Loopback, link_local, n.kind, n.address.is_ipv6(), !private, n.interface.clone())
    });
    if let Some(first) = networks.first_mut() {
        first.suggested = true;
    }
    networks
}

/// `sys` is `/sys/class/net`; where it does not exist, the name alone decides.
fn kind_of(name: &str, sys: &Path) -> NetworkKind {
    let lower = name.to_lowercase();
    let begins = |words: &[&str]| words.iter().any(|w| lower.starts_with(w));
    let device = sys.join(name);
    if begins(&["tun", "tap", "wg", "tailscale", "zt", "ppp", "utun", "ipsec", "nordlynx", "proton"]) {
        NetworkKind::Vpn
    } else if begins(&[
        "docker",
        "br-",
        "veth",
        "virbr",
        "vmnet",
        "vboxnet",
        "lxc",
        "lxd",
        "cni",
        "flannel",
        "podman",
        "vethernet",
    ]) {
        NetworkKind::Virtual
    } else if device.join("wireless").exists() || begins(&["wl", "wi-fi", "wifi", "ath"]) {
        NetworkKind::Wifi
    } else if device.join("bridge").exists() {
        NetworkKind::Virtual
    } else {
        NetworkKind::Cable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let sys = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(sys.path().join("odd0/wireless")).unwrap();
        std::fs::create_dir_all(sys.path().join("lan/bridge")).unwrap();
        let check = |name: &str, want| assert_eq!(kind_of(name, sys.path()), want, "{name}");
        check("eth0", NetworkKind::Cable);
        check("enp3s0", NetworkKind::Cable);
        check("wlp2s0", NetworkKind::Wifi);
        check("odd0", NetworkKind::Wifi);
        check("lan", NetworkKind::Virtual);
        check("tailscale0", NetworkKind::Vpn);
        check("wg0", NetworkKind::Vpn);
        check("docker0", NetworkKind::Virtual);
        check("br-1234", NetworkKind::Virtual);
        check("Wi-Fi", NetworkKind::Wifi);
        check("Ethernet", NetworkKind::Cable);
    }

    #[test]
    fn the_lan_is_suggested() {
        let check = |list: &[(&str, &str, NetworkKind)], want: &str| {
            let found = list.iter().map(|(name, address, kind)| ((*name).to_owned(), address.parse().unwrap(), *kind));
            let networks = suggest(found);
            assert_eq!(networks.iter().filter(|n| n.suggested).count(), usize::from(!list.is_empty()));
            assert_eq!(choose(&networks, None).to_string(), want);
        };
        use NetworkKind::{Cable, Loopback, Virtual, Vpn, Wifi};
        check(&[], "127.0.0.1");
        check(&[("lo", "127.0.0.1", Loopback)], "127.0.0.1");
        check(
            &[("lo", "127.0.0.1", Loopback), ("docker0", "172.17.0.1", Virtual), ("wlan0", "192.168.1.5", Wifi)],
            "192.168.1.5",
        );
        check(&[("wg0", "10.9.0.2", Vpn), ("eth0", "fd00::1", Cable), ("eth0", "10.0.0.8", Cable)], "10.0.0.8");
        check(&[("eth0", "169.254.3.4", Cable), ("wlan0", "192.168.1.5", Wifi)], "192.168.1.5");
    }

    #[test]
    fn a_choice_that_has_gone_falls_back() {
        let list = suggest(
            [("eth0", "10.0.0.8", NetworkKind::Cable), ("wlan0", "192.168.1.5", NetworkKind::Wifi)]
                .into_iter()
                .map(|(n, a, k)| (n.to_owned(), a.parse().unwrap(), k)),
        );
        assert_eq!(choose(&list, Some("wlan0")).to_string(), "192.168.1.5");
        assert_eq!(choose(&list, Some("192.168.1.5")).to_string(), "192.168.1.5");
        assert_eq!(choose(&list, Some("usb0")).to_string(), "10.0.0.8");
    }

    #[test]
    fn this_machine_has_one() {
        assert!(networks().iter().any(|n| n.kind == NetworkKind::Loopback));
    }
}
