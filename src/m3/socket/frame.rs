//! Frames: four bytes of length, big-endian, then that many bytes of payload.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

/// One frame off the front of what was read: `Ok(None)` when it is not whole yet. Bounded by `most`.
pub fn read_frame(buffer: &mut BytesMut, most: usize) -> io::Result<Option<Bytes>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than M3's longest"));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Both directions of one connection. Reading may be dropped at any await and taken up again: nothing is lost.
pub(super) struct Frames {
    wire: Box<dyn Wire>,
    read: BytesMut,
    write: Vec<u8>,
    most: usize,
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({} bytes waiting)", self.read.len())
    }
}

/// What one read asks the kernel for: many records of a list come with one call.
const READ_AHEAD: usize = 32 * 1024;

impl Frames {
    pub(super) fn new(wire: Box<dyn Wire>, most: usize) -> Self {
        Self { wire, read: BytesMut::new(), write: Vec::new(), most }
    }

    pub(super) async fn next(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(frame) = read_frame(&mut self.read, self.most)? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// A frame that is here already.
    pub(super) fn ready(&mut self) -> io::Result<Option<Bytes>> {
        read_frame(&mut self.read, self.most)
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.read.reserve(READ_AHEAD);
        match self.wire.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// A quiet connection with nothing in it: not closed, and nothing there that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        // Whatever the task has done since it was woken: the runtime's own budget must not make a dead connection look
        // quiet.
        self.read.is_empty() && tokio::task::unconstrained(self.fill()).now_or_never().is_none()
    }

    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.write.clear();
        self.write.extend_from_slice(&length.to_be_bytes());
        self.write.extend_from_slice(payload);
        self.wire.write_all(&self.write).await?;
        self.wire.flush().await
    }

    /// Four bytes without a frame around them, as the reroute handshake has them.
    pub(super) async fn bare(&mut self, number: u32) -> io::Result<u32> {
        self.wire.write_all(&number.to_be_bytes()).await?;
        self.wire.flush().await?;
        while self.read.len() < 4 {
            self.fill().await?;
        }
        Ok(self.read.get_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_arrive(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6), cut in 1usize..9) {
            let mut stream = Vec::new();
            for payload in &payloads {
                stream.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                stream.extend_from_slice(payload);
            }
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for piece in stream.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = read_frame(&mut buffer, 64).expect("frames within the bound") {
                    found.push(frame.to_vec());
                }
            }
            prop_assert_eq!(found, payloads);
            prop_assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_frame_longer_than_any_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&[0xff, 0, 0, 0][..]);
        assert!(read_frame(&mut buffer, 1_024).is_err());
    }
}
