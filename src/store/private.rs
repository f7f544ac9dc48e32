//! Files that only their owner may read.

use aws_lc_rs::rand;
use std::fs::{OpenOptions, rename};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Written beside its place first and then moved into it: whole, or as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&beside, path)
}

/// Bytes of a key that is made by chance.
const KEY: usize = 32;

/// A key of a file, which is made where it is missing. One that is too short keeps no secret: it is an error.
pub fn ensure_key(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    match std::fs::read(path).map(Zeroizing::new) {
        Ok(key) if key.len() >= KEY => Ok(key),
        Ok(_) => Err(io::Error::other("it is shorter than 32 bytes; remove it and start again")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new(vec![0; KEY]);
            rand::fill(&mut key).map_err(|_| io::Error::other("the system gave no random bytes"))?;
            write_private(path, &key)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}
