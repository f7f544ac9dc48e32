//! What the machine gives to connections: a file each, and memory in pages.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files the process may hold open, and how many it could at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// `None` is without limit.
    pub now: Option<u64>,
    pub most: Option<u64>,
}

impl OpenFiles {
    /// Whether so many connections, with the sockets to M3 and the files beside them, fit.
    pub fn suffice(&self, connections: usize) -> bool {
        let wanted = connections as u64 + connections as u64 / 4 + 256;
        self.now.is_none_or(|now| now >= wanted)
    }
}

/// Raises the soft limit to the hard one and says what holds afterwards. A refusal is no fault: `check` warns.
pub fn raise() -> OpenFiles {
    let found = getrlimit(Resource::Nofile);
    // The result is read back below, whatever the system made of the wish.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: found.maximum, maximum: found.maximum });
    let held = getrlimit(Resource::Nofile);
    OpenFiles { now: held.current, most: held.maximum }
}

/// Memory in small pages. A connection touches a little of many blocks, and a huge page makes each of them whole:
/// measured on 10,000 idle TLS connections it is 520 MiB instead of 355 (HTTP/2), 345 instead of 260 (HTTP/1.1).
pub fn small_pages() {
    // An old kernel refuses; the gateway then only takes more room.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let held = raise();
        assert_eq!(held.now, held.most);
    }

    #[test]
    fn sixteen_thousand_connections_do_not_fit_in_a_thousand_files() {
        assert!(!OpenFiles { now: Some(1024), most: Some(1024) }.suffice(16_384));
        assert!(OpenFiles { now: None, most: None }.suffice(16_384));
    }
}
