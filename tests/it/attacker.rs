//! Somebody who speaks HTTP/2 frame by frame and keeps to none of its rules: what no library would let one send.

use crate::house::{House, trusting};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const HAS_PRIORITY: u8 = 32;

pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CALM: u32 = 11;

/// Nothing here takes so long unless it hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(40);

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// One setting of a SETTINGS frame.
pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A header list, each field by its name and never remembered.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            length(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// HPACK's number with seven bits in its first byte.
fn length(out: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return out.push(length as u8);
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let mut fields = vec![(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
    if !token.is_empty() {
        fields.push(("authorization", &bearer));
    }
    block(&fields)
}

/// A request whose handler waits for the rest of it.
pub(crate) fn post() -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/oauth2/token"),
        ("content-type", "application/x-www-form-urlencoded"),
    ])
}

/// What the gateway said until the end of the connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct Said {
    /// Frames by kind.
    pub(crate) frames: [usize; 10],
    /// Codes of the streams it took back.
    pub(crate) resets: Vec<u32>,
    /// The code of its goodbye.
    pub(crate) goaway: Option<u32>,
    pub(crate) bytes: usize,
}

pub(crate) struct Attacker {
    pub(crate) from: From,
    pub(crate) to: WriteHalf<TlsStream<TcpStream>>,
}

pub(crate) struct From {
    stream: ReadHalf<TlsStream<TcpStream>>,
    held: Vec<u8>,
    pub(crate) said: Said,
}

impl Attacker {
    pub(crate) async fn of(house: &House, settings: &[u8]) -> Self {
        Self::dial(house.running.addresses.public[0], &house.running.authority, settings).await
    }

    pub(crate) async fn dial(address: SocketAddr, authority: &Path, settings: &[u8]) -> Self {
        let mut config = trusting(authority);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpSocket::new_v4().expect("a socket");
        // Little room, so that an answer that nobody reads is soon noticed.
        socket.set_recv_buffer_size(16 * 1024).expect("a socket");
        let stream = socket.connect(address).await.expect("the public door");
        stream.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        let (from, to) = tokio::io::split(stream);
        let mut one = Self { from: From { stream: from, held: Vec::new(), said: Said::default() }, to };
        let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, settings)[..]].concat();
        assert!(one.say(&hello).await, "it is let in");
        one
    }

    /// Says it; false where the gateway does not listen any more.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> bool {
        say(&mut self.to, bytes).await
    }

    /// Says this again and again, up to so many times, while it hears what comes: all of it until the gateway's end.
    pub(crate) async fn flood(self, most: usize, mut next: impl FnMut(u32) -> Vec<u8>) -> Said {
        let Self { from, mut to } = self;
        let talk = async {
            // In larger pieces, as whoever means harm would.
            let mut at = 0;
            while at < most {
                let until = (at + 64).min(most);
                let piece: Vec<u8> = (at..until).flat_map(|at| next(at as u32)).collect();
                if !say(&mut to, &piece).await {
                    break;
                }
                at = until;
            }
        };
        let both = async { tokio::join!(talk, from.end()).1 };
        timeout(HANGS, both).await.expect("the gateway ends it")
    }
}

async fn say(to: &mut WriteHalf<TlsStream<TcpStream>>, bytes: &[u8]) -> bool {
    let said = async { to.write_all(bytes).await.is_ok() && to.flush().await.is_ok() };
    timeout(HANGS, said).await.expect("it is heard or it is not")
}

impl From {
    /// The next frame: kind, flags, stream, payload. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let Some(head) = self.held.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.held.len() >= 9 + length {
                    let (kind, flags) = (head[3], head[4]);
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let payload = self.held[9..9 + length].to_vec();
                    self.held.drain(..9 + length);
                    self.note(kind, &payload);
                    return Some((kind, flags, stream, payload));
                }
            }
            // A reset is an end, too.
            let read = timeout(HANGS, self.stream.read_buf(&mut self.held)).await.expect("it ends");
            let read = read.unwrap_or_default();
            self.said.bytes += read;
            if read == 0 {
                return None;
            }
        }
    }

    fn note(&mut self, kind: u8, payload: &[u8]) {
        if let Some(count) = self.said.frames.get_mut(usize::from(kind)) {
            *count += 1;
        }
        let code = |at: usize| payload.get(at..at + 4).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes);
        match kind {
            RST_STREAM => self.said.resets.extend(code(0)),
            GOAWAY => self.said.goaway = code(4),
            _ => {}
        }
    }

    /// Everything until the connection ends.
    pub(crate) async fn end(mut self) -> Said {
        while self.next().await.is_some() {}
        self.said
    }

    /// Until a ping comes back, which it does behind what was said before it; false at the end of the connection.
    pub(crate) async fn pong(&mut self) -> bool {
        while let Some((kind, flags, ..)) = self.next().await {
            if kind == PING && flags & ACK != 0 {
                return true;
            }
        }
        false
    }
}
