//! One connection of the mock: frames in, frames out, bare numbers of the reroute.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) use super::columns::Wide;

/// No request of any layout is longer.
const MOST: usize = 64 * 1024;
const READ_AHEAD: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The payload of the next frame.
    pub(super) async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(head) = self.read.first_chunk::<4>() {
                let length = u32::from_be_bytes(*head) as usize;
                if length > MOST {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if self.read.len() >= 4 + length {
                    let rest = self.read.split_off(4 + length);
                    let mut frame = std::mem::replace(&mut self.read, rest);
                    frame.drain(..4);
                    return Ok(frame);
                }
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.read.reserve(READ_AHEAD);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    pub(super) async fn bare(&mut self) -> io::Result<u32> {
        while self.read.len() < 4 {
            self.fill().await?;
        }
        let rest = self.read.split_off(4);
        let head = std::mem::replace(&mut self.read, rest);
        Ok(head.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub(super) async fn say_bare(&mut self, number: u32) -> io::Result<()> {
        self.send(&number.to_be_bytes()).await
    }

    /// A frame of single-byte text, as logons are answered.
    pub(super) async fn say(&mut self, text: &str) -> io::Result<()> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut out = Vec::new();
        Wide::One.frame(&units, &mut out);
        self.send(&out).await
    }

    /// Frames that are written already.
    pub(super) async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames).await
    }

    /// Answers nothing any more, and notices when the other side has had enough.
    pub(super) async fn ignore(&mut self) -> io::Result<()> {
        loop {
            self.read.clear();
            if self.fill().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Ends with a reset instead of an orderly close.
    pub(super) fn reset(&self) {
        let _ = self.stream.set_zero_linger();
    }
}
