//! Which addresses may be asked, checked on the resolved address, so that a name can't lead inside.

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::Service;

/// What the settings allow besides public addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) private: bool,
    pub(super) loopback: bool,
}

impl Rule {
    /// Link-local holds the metadata services of clouds: never asked.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return self.loopback;
        }
        let (never, private) = match address {
            IpAddr::V4(v4) => (v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0, is_private(v4.octets())),
            IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.is_unique_local()),
        };
        !never && !address.is_unspecified() && !address.is_multicast() && (self.private || !private)
    }
}

/// RFC 1918, and the shared space of carriers.
fn is_private(octets: [u8; 4]) -> bool {
    std::net::Ipv4Addr::from(octets).is_private() || (octets[0] == 100 && octets[1] & 0xc0 == 64)
}

/// The system's resolver, with forbidden addresses taken out of its answers.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    inner: GaiResolver,
    rule: Rule,
}

impl Guarded {
    pub(super) fn new(rule: Rule) -> Self {
        Self { inner: GaiResolver::new(), rule }
    }
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (asked, rule) = (self.inner.call(name), self.rule);
        Box::pin(async move {
            let allowed: Vec<_> = asked.await?.filter(|address| rule.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(io::Error::other("the name has no address that may be asked"));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_refused_unless_allowed() {
        let strict = Rule { private: false, loopback: false };
        let open = Rule { private: true, loopback: true };
        for (address, by_strict, by_open) in [
            ("93.184.216.34", true, true),
            ("10.1.2.3", false, true),
            ("100.64.0.1", false, true),
            ("fd00::1", false, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("224.0.0.1", false, false),
        ] {
            let address: IpAddr = address.parse().expect("an address of the test");
            assert_eq!((strict.allows(address), open.allows(address)), (by_strict, by_open), "{address}");
        }
    }
}
