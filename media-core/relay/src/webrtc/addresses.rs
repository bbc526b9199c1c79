//! Which addresses the answer offers as ICE candidates. Not here: gathering by STUN (an ICE-lite server is reachable as it is).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A name that does not resolve this fast is left out of the answer, so that a broken resolver does not stop visits on the LAN.
const RESOLVE: Duration = Duration::from_secs(2);

/// Where candidates come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// Bound to one address: then only that is offered.
    pub(crate) bound: Option<IpAddr>,
    /// Offer the interfaces' addresses.
    pub(crate) interfaces: bool,
    /// Only of these interfaces; empty: of all.
    pub(crate) only: Vec<String>,
    /// Public addresses and names, offered first.
    pub(crate) additional: Vec<String>,
}

impl Sources {
    /// The addresses to offer, best first, without duplicates.
    pub(crate) async fn gather(&self) -> Vec<IpAddr> {
        let mut out = Vec::new();
        for host in &self.additional {
            match host.parse::<IpAddr>() {
                Ok(ip) => out.push(ip),
                Err(_) => match tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host.as_str(), 0))).await {
                    Ok(Ok(found)) => out.extend(found.map(|a| a.ip())),
                    Ok(Err(error)) => tracing::warn!(%host, %error, "additional host does not resolve"),
                    Err(_) => tracing::warn!(%host, "additional host does not resolve in time"),
                },
            }
        }
        match self.bound {
            Some(ip) => out.push(ip),
            None if self.interfaces => out.extend(self.interface_addresses()),
            None => {}
        }
        let mut seen = std::collections::HashSet::new();
        out.retain(|ip| seen.insert(*ip));
        out
    }

    fn interface_addresses(&self) -> Vec<IpAddr> {
        let all = match if_addrs::get_if_addrs() {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!(%error, "interface addresses cannot be read");
                return Vec::new();
            }
        };
        let wanted = |name: &String| self.only.is_empty() || self.only.contains(name);
        let mut found: Vec<IpAddr> = all.iter().filter(|i| wanted(&i.name)).map(if_addrs::Interface::ip).collect();
        found.retain(|ip| !is_link_local(*ip));
        // A LAN address is what a phone needs; loopback serves only this machine.
        found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
        found
    }
}

/// Of no use to a peer: an IPv6 one needs a scope, which a candidate cannot say; an IPv4 one means that there is no network.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The candidate lines of an answer (RFC 8839 §5.1), without `a=`; host candidates, the first preferred.
pub(crate) fn candidate_lines(addresses: &[SocketAddr]) -> Vec<String> {
    /// RFC 8445 §5.1.2.2: host candidates.
    const TYPE_PREFERENCE: u32 = 126;
    let line = |(i, address): (u32, &SocketAddr)| {
        let priority = TYPE_PREFERENCE << 24 | 0xFFFF_u32.saturating_sub(i) << 8 | 255;
        format!("candidate:{} 1 udp {priority} {} {} typ host", i + 1, address.ip(), address.port())
    };
    (0..).zip(addresses).map(line).collect()
}

/// The same for TCP, where the peer dials (RFC 6544 §4.5): behind every UDP candidate.
pub(crate) fn tcp_candidate_lines(addresses: &[SocketAddr]) -> Vec<String> {
    /// RFC 6544 §4.2: below that of UDP, so that what is live goes by UDP where it can.
    const TYPE_PREFERENCE: u32 = 90;
    /// Passive, of a host (§4.2).
    const DIRECTION: u32 = 4 << 13;
    let line = |(i, address): (u32, &SocketAddr)| {
        let priority = TYPE_PREFERENCE << 24 | (DIRECTION | 0x1FFF_u32.saturating_sub(i)) << 8 | 255;
        format!("candidate:t{} 1 tcp {priority} {} {} typ host tcptype passive", i + 1, address.ip(), address.port())
    };
    (0..).zip(addresses).map(line).collect()
}

/// An answer with these candidates behind its own.
pub(crate) fn with_candidates(answer: &str, lines: &[String]) -> String {
    const END: &str = "a=end-of-candidates\r\n";
    let more: String = lines.iter().map(|line| format!("a={line}\r\n")).collect();
    answer.replacen(END, &(more + END), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let lines = candidate_lines(&["192.0.2.1:8189".parse().unwrap(), "[2001:db8::1]:8189".parse().unwrap()]);
        assert_eq!(lines[0], "candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host");
        assert_eq!(lines[1], "candidate:2 1 udp 2130706175 2001:db8::1 8189 typ host");
    }

    #[test]
    fn tcp_stands_behind_udp() {
        let lines = tcp_candidate_lines(&["192.0.2.1:8189".parse().unwrap()]);
        assert_eq!(lines, ["candidate:t1 1 tcp 1520435199 192.0.2.1 8189 typ host tcptype passive"]);
        let answer = with_candidates("m=a\r\na=candidate:1\r\na=end-of-candidates\r\nm=b\r\n", &lines);
        let want = format!("m=a\r\na=candidate:1\r\na={}\r\na=end-of-candidates\r\nm=b\r\n", lines[0]);
        assert_eq!(answer, want);
    }

    #[tokio::test]
    async fn additional_hosts_come_first_and_once() {
        let additional = vec!["203.0.113.5".into(), "127.0.0.1".into()];
        let sources = Sources { bound: Some([127, 0, 0, 1].into()), additional, ..Sources::default() };
        assert_eq!(sources.gather().await, [IpAddr::from([203, 0, 113, 5]), IpAddr::from([127, 0, 0, 1])]);
    }
}
