//! The way out for lines of a log: whoever writes one never waits, however slowly they are read.
//!
//! Lines wait in a bounded queue for a thread of their own; when it is full they are dropped and counted. A pipe that
//! nobody reads would else hold every worker of the runtime, and with them all callers.
//!
//! Does not know: what a line says.

use prometheus::IntCounter;
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much is gathered before it is written.
const BATCH: usize = 64 * 1024;

/// What becomes a line, on the thread that writes it.
pub(super) trait Line: Send + 'static {
    fn append(self, to: &mut Vec<u8>);
}

enum Message<L> {
    Line(L),
    /// Everything before this has been written when the sender hears of it.
    Flush(SyncSender<()>),
}

/// Clones share one queue; the thread ends when the last of them is gone.
pub(super) struct Out<L> {
    queue: SyncSender<Message<L>>,
    dropped: IntCounter,
}

impl<L> Clone for Out<L> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), dropped: self.dropped.clone() }
    }
}

impl<L> fmt::Debug for Out<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Out")
    }
}

impl<L: Line> Out<L> {
    /// `most`: how many lines may wait.
    pub(super) fn new(
        name: &str,
        writer: impl Write + Send + 'static,
        most: usize,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let (queue, lines) = sync_channel(most);
        let lost = dropped.clone();
        // A thread, not a task: standard output blocks, and no worker of the runtime may.
        thread::Builder::new().name(name.to_owned()).spawn(move || write(&lines, writer, &lost))?;
        Ok(Self { queue, dropped })
    }

    pub(super) fn write(&self, line: L) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until what was written before is out, or the limit. Blocks: for the end of the process.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        let mut message = Message::Flush(done);
        let until = Instant::now() + limit;
        // Parked, not asleep in the runtime's sense: this is the last thing that a process does.
        loop {
            match self.queue.try_send(message) {
                Ok(()) => return wait.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok(),
                Err(TrySendError::Full(back)) if Instant::now() < until => {
                    message = back;
                    thread::park_timeout(Duration::from_millis(5));
                }
                Err(_) => return false,
            }
        }
    }
}

fn write<L: Line>(lines: &Receiver<Message<L>>, mut writer: impl Write, lost: &IntCounter) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut held = 0;
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut waiting = Vec::new();
        while let Some(message) = next.take() {
            match message {
                Message::Line(line) => {
                    held += 1;
                    line.append(&mut batch);
                }
                Message::Flush(done) => waiting.push(done),
            }
            if batch.len() < BATCH {
                next = lines.try_recv().ok();
            }
        }
        // A reader that went away must not end the gateway; its lines count as dropped.
        if writer.write_all(&batch).and_then(|()| writer.flush()).is_err() {
            lost.inc_by(held);
        }
        batch.clear();
        held = 0;
        for done in waiting {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    impl Line for &'static str {
        fn append(self, to: &mut Vec<u8>) {
            to.extend_from_slice(self.as_bytes());
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "of a test").unwrap()
    }

    /// Blocks until told to go on.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (go, stuck) = channel();
        let out = Out::new("test", Stuck(stuck), 4, counter()).unwrap();
        for _ in 0..100 {
            out.write("a line\n");
        }
        // The writer may hold what it took before it got stuck; the queue holds four.
        assert!(out.dropped.get() >= 50, "{}", out.dropped.get());
        assert!(!out.flush(Duration::ZERO));
        drop(go);
    }

    #[test]
    fn a_writer_that_fails_costs_lines_not_the_log() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let out = Out::new("test", Gone, 4, counter()).unwrap();
        out.write("a line\n");
        assert!(out.flush(Duration::from_secs(5)));
        assert_eq!(out.dropped.get(), 1);
    }
}
