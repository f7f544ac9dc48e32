//! The PROXY protocol, version 1 and 2: the balancer in front says whom it speaks for, before anything else is said.
//!
//! It is read from the networks that the settings name, and there it must come: whoever else sends it talks nonsense to
//! TLS. What is announced is the peer from then on, for every limit, rule and log.
//!
//! Invariant: never a byte behind the header is read, and no header is longer than is said here.
//! Does not know: how long may be waited (see `serve`).

use crate::model::Peer;
use ppp::{v1, v2};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line of version 1, its end included.
const MOST_LINE: usize = 107;
/// Version 2 may carry what nobody here reads; more of it than this is no balancer's.
const MOST_BINARY: usize = 4096;
const BINARY_HEAD: usize = 16;

/// A network whose addresses belong together, as in `10.0.0.0/8`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// Without the bits behind the first so many.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let rest = 32u32.checked_sub(bits.into())?;
            IpAddr::V4((address.to_bits().checked_shr(rest).unwrap_or(0).checked_shl(rest).unwrap_or(0)).into())
        }
        IpAddr::V6(address) => {
            let rest = 128u32.checked_sub(bits.into())?;
            IpAddr::V6((address.to_bits().checked_shr(rest).unwrap_or(0).checked_shl(rest).unwrap_or(0)).into())
        }
    })
}

/// Why a text names no network whose word can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no network, or one with bits behind its prefix, or everybody's")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    /// Strict: `10.0.0.1/8` is somebody's mistake, and everybody (`/0`) can't be believed.
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        if first != first.to_canonical() {
            return Err(NoNetwork);
        }
        let bits = match bits {
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => bits.parse().map_err(|_| NoNetwork)?,
            Some(_) => return Err(NoNetwork),
            None if first.is_ipv4() => 32,
            None => 128,
        };
        if bits == 0 || masked(first, bits) != Some(first) {
            return Err(NoNetwork);
        }
        Ok(Self { first, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Why nobody was announced. The balancer's fault, or that of the settings which name it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As the checks of balancers do.
    #[error("the connection ended before a word")]
    Nothing,
    #[error(
        "it does not begin with a PROXY header: switch it on there, or take the address out of edge.proxy_protocol_from"
    )]
    NoHeader,
    #[error("its PROXY header is longer than {MOST_BINARY} bytes, or {MOST_LINE} as text")]
    TooLong,
    #[error("its PROXY header can't be read")]
    Unreadable,
    #[error("its PROXY header names no client that came over TCP")]
    NoClient,
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Whom a header speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    Client(SocketAddr),
    /// The balancer speaks for itself: it looks whether we are there.
    Itself,
}

/// How a header goes on behind what is there of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes belong to it still; maybe more behind them.
    More(usize),
    Done(Announced),
}

/// What is to be done next with these first bytes of a connection. Public so that a fuzz target can ask.
pub fn step(got: &[u8]) -> Result<Step, Error> {
    let signature = v2::PROTOCOL_PREFIX;
    if got.len() < signature.len() {
        // No header of either version is shorter.
        return Ok(Step::More(signature.len() - got.len()));
    }
    if got.starts_with(signature) {
        return binary(got);
    }
    if !got.starts_with(b"PROXY ") {
        return Err(Error::NoHeader);
    }
    if got.ends_with(b"\n") {
        return line(got);
    }
    // Byte by byte: how long the line is, only its end says, and what is behind it is TLS.
    if got.len() < MOST_LINE { Ok(Step::More(1)) } else { Err(Error::TooLong) }
}

fn binary(got: &[u8]) -> Result<Step, Error> {
    let Some(head) = got.first_chunk::<BINARY_HEAD>() else { return Ok(Step::More(BINARY_HEAD - got.len())) };
    let length = BINARY_HEAD + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > MOST_BINARY {
        return Err(Error::TooLong);
    }
    if got.len() < length {
        return Ok(Step::More(length - got.len()));
    }
    let header = v2::Header::try_from(got).map_err(|_| Error::Unreadable)?;
    if header.command == v2::Command::Local {
        return Ok(Step::Done(Announced::Itself));
    }
    if header.protocol != v2::Protocol::Stream {
        return Err(Error::NoClient);
    }
    let client: SocketAddr = match header.addresses {
        v2::Addresses::IPv4(pair) => (pair.source_address, pair.source_port).into(),
        v2::Addresses::IPv6(pair) => (pair.source_address, pair.source_port).into(),
        // Who it is can't be said, so nothing may be decided by it.
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return Err(Error::NoClient),
    };
    Ok(Step::Done(Announced::Client(client)))
}

fn line(got: &[u8]) -> Result<Step, Error> {
    let header = v1::Header::try_from(got).map_err(|_| Error::Unreadable)?;
    if header.header.len() != got.len() {
        return Err(Error::Unreadable);
    }
    Ok(Step::Done(match header.addresses {
        v1::Addresses::Tcp4(pair) => Announced::Client((pair.source_address, pair.source_port).into()),
        v1::Addresses::Tcp6(pair) => Announced::Client((pair.source_address, pair.source_port).into()),
        v1::Addresses::Unknown => Announced::Itself,
    }))
}

/// Reads the header of a connection from `proxy`, and says who its peer is.
pub(super) async fn announced(from: &mut (impl AsyncRead + Unpin), proxy: Peer) -> Result<Peer, Error> {
    let mut got = Vec::with_capacity(64);
    loop {
        match step(&got)? {
            Step::Done(Announced::Client(client)) => return Ok(Peer::of(client)),
            Step::Done(Announced::Itself) => return Ok(proxy),
            Step::More(wanted) => {
                let read = (&mut *from).take(wanted as u64).read_to_end(&mut got).await;
                match read {
                    Ok(read) if read == wanted => {}
                    Ok(_) if got.is_empty() => return Err(Error::Nothing),
                    Ok(_) => return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into())),
                    Err(error) if got.is_empty() && error.kind() == io::ErrorKind::ConnectionReset => {
                        return Err(Error::Nothing);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    /// Everything a header has is read, and the answer comes with its last byte.
    fn read(bytes: &[u8]) -> Result<(Announced, usize), Error> {
        let mut got = 0;
        loop {
            match step(&bytes[..got])? {
                Step::Done(announced) => return Ok((announced, got)),
                Step::More(wanted) if got + wanted <= bytes.len() => got += wanted,
                Step::More(_) => return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0x40, 0x20, 0xfb];

    #[test]
    fn both_versions_name_the_client_and_nothing_behind_them_is_read() {
        let client = |text: &str| Announced::Client(text.parse().unwrap());
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 8443\r\n";
        assert_eq!(read(&[line, &b"\x16\x03\x01"[..]].concat()).unwrap(), (client("192.0.2.7:40000"), line.len()));
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 8443\r\n";
        assert_eq!(read(line).unwrap(), (client("[2001:db8::7]:40000"), line.len()));
        let header = binary(0x21, 0x11, &V4);
        assert_eq!(read(&[&header, &b"\x16\x03"[..]].concat()).unwrap(), (client("192.0.2.7:40000"), header.len()));
        let with_more = binary(0x21, 0x11, &[&V4[..], &[4, 0, 2, 0, 0]].concat());
        assert_eq!(read(&with_more).unwrap(), (client("192.0.2.7:40000"), with_more.len()));
    }

    #[test]
    fn a_balancer_that_only_looks_is_itself() {
        for header in [&b"PROXY UNKNOWN\r\n"[..], &b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"[..], &binary(0x20, 0, &[])]
        {
            assert_eq!(read(header).unwrap(), (Announced::Itself, header.len()));
        }
    }

    #[test]
    fn what_names_nobody_is_refused_and_never_read_for_long() {
        let check = |bytes: &[u8], expected: &str| {
            let fault = read(bytes).unwrap_err();
            assert!(format!("{fault:?}").starts_with(expected), "{fault:?} for {bytes:?}");
        };
        check(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0", "NoHeader");
        check(b"GET / HTTP/1.1\r\n", "NoHeader");
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 40000\r\n", "Unreadable");
        check(b"PROXY TCP4 2001:db8::7 10.0.0.1 40000 8443\r\n", "Unreadable");
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 8443\n", "Unreadable");
        check(b"PROXY UDP4 192.0.2.7 10.0.0.1 40000 8443\r\n", "Unreadable");
        check(&[&b"PROXY "[..], &[b'x'; 200]].concat(), "TooLong");
        check(&binary(0x21, 0x11, &[0; 5000]), "TooLong");
        check(&binary(0x21, 0x11, &[0; 8]), "Unreadable");
        check(&binary(0x31, 0x11, &V4), "Unreadable");
        check(&binary(0x21, 0x12, &V4), "NoClient");
        check(&binary(0x21, 0x00, &[]), "NoClient");
        check(&binary(0x21, 0x31, &[0; 216]), "NoClient");
    }

    #[test]
    fn an_ipv4_client_inside_ipv6_is_an_ipv4_client() {
        let line = b"PROXY TCP6 ::ffff:192.0.2.7 ::1 40000 8443\r\n";
        let Ok((Announced::Client(client), _)) = read(line) else { panic!("no client") };
        assert_eq!(Peer::of(client).address, IpAddr::from([192, 0, 2, 7]));
    }

    #[test]
    fn a_network_is_written_exactly_and_is_never_everybody() {
        let network = |text: &str| text.parse::<Network>();
        for good in ["10.0.0.0/8", "192.168.1.0/24", "127.0.0.1/32", "2001:db8::/32", "::1/128"] {
            assert_eq!(network(good).unwrap().to_string(), good);
        }
        assert_eq!(network("10.1.2.3").unwrap(), network("10.1.2.3/32").unwrap());
        let bad = ["10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "10.0.0/8", "a", ""];
        for bad in bad.into_iter().chain(["::ffff:10.0.0.0/104", "2001:db8::1/32", "10.0.0.0/8/8"]) {
            assert_eq!(network(bad), Err(NoNetwork), "{bad}");
        }
        let ten = network("10.0.0.0/8").unwrap();
        assert!(ten.contains("10.255.0.1".parse().unwrap()) && ten.contains("::ffff:10.0.0.9".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()) && !ten.contains("::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_fault_of_ours(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..4) {
            let begin: [&[u8]; 4] = [b"", b"PROXY ", b"PROXY TCP4 ", v2::PROTOCOL_PREFIX];
            let _ = read(&[begin[at], &bytes].concat());
        }

        #[test]
        fn every_client_is_announced_as_it_is(address in any::<std::net::IpAddr>(), port in any::<u16>()) {
            let (word, other) = if address.is_ipv4() { ("TCP4", "10.0.0.1") } else { ("TCP6", "::1") };
            let header = format!("PROXY {word} {address} {other} {port} 8443\r\n");
            let (announced, length) = read(header.as_bytes()).unwrap();
            prop_assert_eq!(announced, Announced::Client((address, port).into()));
            prop_assert_eq!(length, header.len());
        }
    }
}
