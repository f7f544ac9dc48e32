//! A folder: one file a document, there whole or not at all.
//!
//! A file is written beside its place, brought to the disk and then put there under its name, so that nobody ever reads
//! half of one. The same message again replaces the file that it made before.

use super::failure::Failure;
use super::message::Message;
use super::settings::FileSettings;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

#[derive(Debug)]
pub(super) struct FileDrop {
    settings: Arc<FileSettings>,
    /// Since the folder was last looked through.
    since: AtomicUsize,
}

/// After so many files the oldest are looked for.
const LOOK: usize = 100;

impl FileDrop {
    pub(super) fn new(settings: FileSettings) -> Self {
        // The first delivery looks through what an earlier run left.
        Self { settings: Arc::new(settings), since: AtomicUsize::new(LOOK) }
    }

    pub(super) async fn deliver(&self, message: &Message<'_>) -> Result<String, Failure> {
        let path = self.settings.folder.join(self.settings.pattern.name(message));
        let (settings, to, text) = (Arc::clone(&self.settings), path.clone(), message.xml.to_owned());
        // Hidden, and not of the pattern's ending: whoever watches the folder does not take it for a document. Two messages
        // may have one name to end under, and are written beside each other all the same.
        let id = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let part = self.settings.folder.join(format!(".{}.part", message.id.chars().map(id).collect::<String>()));
        let mut look = self.settings.keep.filter(|_| self.since.fetch_add(1, Ordering::Relaxed) >= LOOK);
        if look.is_some() {
            self.since.store(0, Ordering::Relaxed);
        }
        let written = tokio::task::spawn_blocking(move || {
            write(&settings.folder, &to, &part, text.as_bytes())?;
            // What can't be removed now is looked at again later: the document itself is there.
            if let Some(keep) = look.take()
                && let Err(error) = tidy(&settings.folder, settings.pattern.ending(), keep)
            {
                tracing::warn!(folder = %settings.folder.display(), %error, "old documents could not be removed");
            }
            Ok::<(), io::Error>(())
        });
        let failed = |error: &dyn std::fmt::Display| Failure::passing(format!("{}: {error}", path.display()));
        match written.await {
            Ok(Ok(())) => Ok(path.display().to_string()),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn write(folder: &Path, to: &Path, part: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let open = || fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(part);
    let mut file = match open() {
        // An earlier attempt of this message ended in the middle.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(part).and_then(|()| open())?,
        other => other?,
    };
    let done = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(part, to));
    if done.is_err() {
        let _ = fs::remove_file(part);
    }
    done?;
    File::open(folder)?.sync_all()
}

/// Removes the oldest documents until both bounds hold.
fn tidy(folder: &Path, ending: &str, (files, bytes): (usize, u64)) -> io::Result<()> {
    let mut found: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, about) = (entry.file_name(), entry.metadata()?);
        let name = name.to_string_lossy();
        if about.is_file() && !name.starts_with('.') && name.ends_with(ending) {
            found.push((about.modified()?, about.len(), entry.path()));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    let mut held = 0;
    for (at, (_, size, path)) in found.iter().enumerate() {
        held += size;
        // The newest stays, however large it is.
        if at >= files.max(1) || (at > 0 && held > bytes) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::super::tests::message;
    use super::*;

    fn drop_in(folder: &Path, keep: Option<(usize, u64)>) -> FileDrop {
        let pattern = Pattern::parse("{noun}_{document}_{variation}.xml").expect("a pattern");
        FileDrop::new(FileSettings { folder: folder.to_owned(), pattern, keep })
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_document_is_there_whole_and_once_however_often_it_comes() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("new");
        let drop = drop_in(&folder, None);
        let reference = drop.deliver(&message("<one/>")).await.expect("written");
        drop.deliver(&message("<two/>")).await.expect("written again");
        assert_eq!(names(&folder), ["ItemMaster_A1_7.xml"]);
        assert_eq!(fs::read_to_string(reference).expect("the file"), "<two/>");
    }

    #[tokio::test]
    async fn a_folder_that_can_t_be_written_is_told_and_nothing_half_is_left() {
        let base = tempfile::tempdir().expect("a folder");
        let file = base.path().join("file");
        fs::write(&file, "x").expect("a file");
        let failure = drop_in(&file, None).deliver(&message("<a/>")).await.expect_err("no folder");
        assert!(!failure.lasting && failure.reason.contains(&file.display().to_string()), "{failure}");
        // The place of the document is taken by a folder: the rename fails.
        fs::create_dir_all(base.path().join("d/ItemMaster_A1_7.xml/x")).expect("a folder");
        drop_in(&base.path().join("d"), None).deliver(&message("<a/>")).await.expect_err("no rename");
        assert_eq!(names(&base.path().join("d")), ["ItemMaster_A1_7.xml"]);
    }

    #[tokio::test]
    async fn two_messages_of_one_name_are_never_mixed() {
        let base = tempfile::tempdir().expect("a folder");
        // What a crash left of one of them is written anew, and of another is its own.
        for left in [".one.part", ".three.part"] {
            fs::write(base.path().join(left), "half").expect("a part");
        }
        let texts: Vec<String> = ["<one>", "<two>"].iter().map(|root| root.repeat(200_000)).collect();
        for _ in 0..5 {
            let drop = drop_in(base.path(), None);
            let one = Message { id: "one", ..message(&texts[0]) };
            let two = Message { id: "two", ..message(&texts[1]) };
            let (first, second) = tokio::join!(drop.deliver(&one), drop.deliver(&two));
            let path = first.expect("written");
            assert_eq!(second.as_ref(), Ok(&path));
            let there = fs::read_to_string(path).expect("the file");
            assert!(texts.contains(&there), "one of them, whole");
        }
        assert_eq!(names(base.path()), [".three.part", "ItemMaster_A1_7.xml"]);
    }

    #[tokio::test]
    async fn the_oldest_documents_make_room_and_files_of_others_stay() {
        let base = tempfile::tempdir().expect("a folder");
        let others = ["note.txt", ".hidden.xml"];
        others.iter().for_each(|name| fs::write(base.path().join(name), "kept").expect("a file"));
        for variation in 0..5_u64 {
            // A drop of its own each time, so that each looks through the folder.
            let drop = drop_in(base.path(), Some((3, 1_000)));
            drop.deliver(&Message { variation, ..message("<a/>") }).await.expect("written");
            let path = base.path().join(format!("ItemMaster_A1_{variation}.xml"));
            let age = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(variation);
            if let Ok(file) = File::options().write(true).open(path) {
                file.set_modified(age).expect("a time");
            }
        }
        let kept = ["ItemMaster_A1_2.xml", "ItemMaster_A1_3.xml", "ItemMaster_A1_4.xml"];
        assert_eq!(names(base.path()), [&[".hidden.xml"], &kept[..], &["note.txt"]].concat());
        let large = "x".repeat(2_000);
        drop_in(base.path(), Some((3, 1_000)))
            .deliver(&Message { variation: 9, ..message(&large) })
            .await
            .expect("written");
        assert_eq!(names(base.path()), [".hidden.xml", "ItemMaster_A1_9.xml", "note.txt"]);
    }
}
