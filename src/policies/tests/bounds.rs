//! What is too much for a set is refused before it is read.

use super::super::files::{MAX_FILE, MAX_FILES};
use super::super::{BundleFault, Error, Files, Trust, bundle, open_bundle, pack, read};
use super::PERMIT;
use crate::policy::Source;
use std::fs::{self, File};
use std::path::Path;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.cedar"), PERMIT).expect("a file");
    fs::write(folder.path().join("manifest.toml"), "name = \"acme\"\nversion = 1\n").expect("a file");
    folder
}

/// As long as this, and nothing in it.
fn hollow(path: &Path, length: u64) {
    File::create(path).and_then(|file| file.set_len(length)).expect("a file");
}

#[test]
fn a_folder_with_too_many_files_is_refused() {
    for (place, ending) in [("", "cedar"), ("tests", "toml")] {
        let folder = folder();
        let place = folder.path().join(place);
        fs::create_dir_all(&place).expect("a folder");
        for at in 0..MAX_FILES - 1 {
            fs::write(place.join(format!("{at}.{ending}")), "").expect("a file");
        }
        assert!(read(folder.path()).is_ok(), "so many may be");
        for at in MAX_FILES - 1..=MAX_FILES {
            fs::write(place.join(format!("{at}.{ending}")), "").expect("a file");
        }
        assert!(matches!(read(folder.path()), Err(Error::TooMany { .. })), "{ending}");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    for name in ["b.cedar", "limits.toml", "manifest.toml", "facts.toml", "tests/a.toml"] {
        let folder = folder();
        fs::create_dir_all(folder.path().join("tests")).expect("a folder");
        hollow(&folder.path().join(name), MAX_FILE + 1);
        assert!(matches!(read(folder.path()), Err(Error::TooLarge { .. })), "{name}");
    }
}

#[test]
fn a_bundle_that_is_too_large_or_holds_too_much_is_refused() {
    let folder = folder();
    let path = folder.path().join("set");
    hollow(&path, bundle::MAX_BUNDLE + 1);
    assert!(matches!(read(&path), Err(Error::Bundle { why: BundleFault::TooLarge, .. })));
    let long = vec![0; bundle::MAX_BUNDLE as usize + 1];
    assert_eq!(open_bundle(long, &Trust::default()), Err(BundleFault::TooLarge));

    let set = read(folder.path()).expect("a set");
    assert!(pack(&set).is_ok());
    let case = |at: usize, text: &str| Source { name: format!("tests/{at}.toml"), text: text.to_owned() };
    let told = |files: &Files| match pack(files) {
        Err(BundleFault::Content(why)) => why,
        other => panic!("{other:?}"),
    };
    let many = Files { cases: (0..2 * MAX_FILES).map(|at| case(at, "")).collect(), ..set.clone() };
    assert!(told(&many).contains("more than 512 files"));
    let large = Files { cases: vec![case(1, &"#".repeat(MAX_FILE as usize + 1))], ..set };
    assert!(told(&large).contains("tests/1.toml is larger than"));
}
