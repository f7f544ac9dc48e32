//! Files that hold secrets, and who else may touch them. Everything that reads one reads it here.
//!
//! Who may write such a file decides who the gateway is or whom it believes: one that its group or everybody may write is
//! refused, and so is one of another user than root and the gateway's own, who may write it whatever its mode says. Who may read it knows the secret: that is told, not refused, since it is how Kubernetes mounts secrets unless
//! it is asked for less. A group that may read (0440) is one that somebody chose: systemd's credentials and `fsGroup`.
//! Links are followed, as both of them use links; what counts is the file that was opened.

use std::fs::{File, metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const WRITABLE: u32 = 0o022;
const OPEN: u32 = 0o004;

/// The whole of it, at most so many bytes.
pub fn read_secret(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if found.permissions().mode() & WRITABLE != 0 {
        let why = "others than its owner may write it: run `chmod go-w` on it, and make a new secret if they did";
        return Err(io::Error::other(why));
    }
    if !is_ours(found.uid()) {
        let why = "it belongs to another user than root and this one, who can change it: run `chown` on it";
        return Err(io::Error::other(why));
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(found.len().min(most)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}

fn is_ours(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// The same as text.
pub fn read_secret_text(path: &Path, most: u64) -> io::Result<Zeroizing<String>> {
    let mut bytes = read_secret(path, most)?;
    // The bytes move; what is left behind is empty.
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        io::Error::other("it is no text")
    })
}

/// Everybody on the machine may read it.
pub fn is_open(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.permissions().mode() & OPEN != 0)
}

/// What is said of one that is.
pub const OPEN_ADVICE: &str =
    "can be read by everybody on this machine; run `chmod o-r` on it, or mount it with defaultMode 0440";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::symlink;

    fn file(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, "hush\n").expect("a file");
        set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        (folder, path)
    }

    #[test]
    fn a_secret_that_others_may_write_is_refused_and_one_that_they_may_read_is_told_of() {
        for mode in [0o620, 0o602, 0o660, 0o666, 0o422, 0o777] {
            let (_folder, path) = file(mode);
            let why = read_secret(&path, 100).expect_err("refused").to_string();
            assert!(why.contains("may write it"), "{mode:o}: {why}");
        }
        for (mode, open) in
            [(0o400, false), (0o600, false), (0o440, false), (0o640, false), (0o444, true), (0o644, true)]
        {
            let (_folder, path) = file(mode);
            assert_eq!(&**read_secret_text(&path, 100).expect("read"), "hush\n", "{mode:o}");
            assert_eq!(is_open(&path), open, "{mode:o}");
        }
    }

    #[test]
    fn a_secret_of_another_user_is_refused_whatever_its_mode_says() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_ours(own) && is_ours(0) && !is_ours(own + 1));
        let (_folder, path) = file(0o600);
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(own + 1), None).is_ok() {
            let why = read_secret(&path, 100).expect_err("refused").to_string();
            assert!(why.contains("belongs to another user"), "{why}");
        }
    }

    #[test]
    fn behind_the_links_of_a_mount_the_file_counts() {
        // As Kubernetes mounts a secret: name → ..data/name, ..data → a folder with the time in its name.
        let folder = tempfile::tempdir().expect("a folder");
        let held = folder.path().join("..2026_01_01");
        fs::create_dir(&held).expect("a folder");
        fs::write(held.join("password"), "hush").expect("a file");
        symlink("..2026_01_01", folder.path().join("..data")).expect("a link");
        let path = folder.path().join("password");
        symlink("..data/password", &path).expect("a link");
        for (mode, good, open) in [(0o440, true, false), (0o644, true, true), (0o664, false, true)] {
            set_permissions(held.join("password"), Permissions::from_mode(mode)).expect("a mode");
            assert_eq!((read_secret(&path, 100).is_ok(), is_open(&path)), (good, open), "{mode:o}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_or_a_folder_is_no_secret() {
        let (folder, path) = file(0o600);
        assert!(read_secret(&path, 5).is_ok() && read_secret(&path, 4).is_err());
        assert!(read_secret(folder.path(), 100).is_err());
        fs::write(&path, [0xff, 0xfe]).expect("a file");
        let why = read_secret_text(&path, 100).expect_err("no text").to_string();
        assert_eq!(why, "it is no text");
    }
}
