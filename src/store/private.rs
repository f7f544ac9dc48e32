//! Files that only their owner may read.

use super::secret::read_secret;
use aws_lc_rs::rand;
use std::fs::{OpenOptions, remove_file, rename};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Written beside its place first and then moved into it: whole, or as it was.
/// What lies beside already is taken away and not written into: a mode is given to a file that is made, and a link leads
/// elsewhere.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with_mode(path, bytes, 0o600)
}

/// The same for what others may read, beside a secret.
pub fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    match remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&beside, path)
}

/// Bytes of a key that is made by chance.
const KEY: usize = 32;
const MOST_KEY: u64 = 1024;

/// A key of a file, which is made where it is missing. One that is too short keeps no secret: it is an error.
pub fn ensure_key(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    match read_secret(path, MOST_KEY) {
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

#[cfg(test)]
mod tests {
    use super::write_private;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_was_laid_beside_lends_a_secret_neither_its_mode_nor_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, elsewhere) = (folder.path().join("key"), folder.path().join("elsewhere"));
        let beside = folder.path().join(format!("key.{}", std::process::id()));
        fs::write(&beside, "left over").expect("a file");
        fs::set_permissions(&beside, Permissions::from_mode(0o644)).expect("a mode");
        write_private(&path, b"secret").expect("written");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        fs::write(&elsewhere, "as it was").expect("a file");
        symlink(&elsewhere, &beside).expect("a link");
        write_private(&path, b"another").expect("written");
        assert_eq!(fs::read(&elsewhere).expect("a file"), b"as it was");
        assert!(fs::symlink_metadata(&path).expect("a file").is_file());
    }
}
