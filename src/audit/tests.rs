//! The log's promises, with files as they lie on a disk.

use super::{Decision, Head, Key, Log, Outcome, Settings, Step, verify};
use crate::model::{ClientId, Effect};
use crate::telemetry::Metrics;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn settings(folder: &Path) -> Settings {
    Settings::under(folder.join("audit"), folder.join("audit.key"))
}

fn write(client: &ClientId) -> Decision<'_> {
    Decision {
        call: "one",
        set: "hash",
        client,
        tenant: None,
        groups: &[],
        scopes: &[],
        claims: &[],
        user: None,
        address: [127, 0, 0, 1].into(),
        name: None,
        effect: Some(Effect::Write),
        place: None,
        inputs: None,
        step: Step::Values,
        allowed: true,
        reason: "allowed",
        rules: &[],
        micros: 1,
    }
}

async fn filled(folder: &Path) -> Settings {
    let settings = settings(folder);
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let client = ClientId { issuer: "https://issuer".into(), id: "shop".into() };
    for _ in 0..3 {
        let mut ticket = log.record(&write(&client));
        ticket.kept().await.expect("kept");
        ticket.ended(Outcome::Done);
    }
    assert!(log.close(Duration::from_secs(10)).await);
    settings
}

fn file(settings: &Settings) -> PathBuf {
    super::verify::files(&settings.dir).expect("a folder").pop().expect("a file")
}

fn whole(settings: &Settings) -> Result<u64, String> {
    let key = Key::read(&settings.key).expect("a key").public();
    let head = Head::beside(&settings.dir);
    let found = verify(&settings.dir, key, head.as_ref()).expect("readable");
    found.map(|good| good.open_writes).map_err(|broken| broken.what)
}

#[tokio::test]
async fn what_was_written_is_whole_and_every_write_has_its_outcome() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = filled(folder.path()).await;
    assert_eq!(whole(&settings), Ok(0));
    filled(folder.path()).await;
    assert_eq!(whole(&settings), Ok(0), "a second run goes on where the first one ended");
}

#[tokio::test]
async fn a_line_that_is_changed_removed_or_moved_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = filled(folder.path()).await;
    let text = fs::read_to_string(file(&settings)).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    let mut without = lines.clone();
    without.remove(4);
    let mut moved = lines.clone();
    moved.swap(4, 5);
    let changed = text.replacen("shop", "shoq", 1).lines().map(str::to_owned).collect::<Vec<_>>().join("\n");
    for altered in [without.join("\n"), moved.join("\n"), changed, lines[..lines.len() - 2].join("\n")] {
        fs::write(file(&settings), altered + "\n").expect("a file");
        assert!(whole(&settings).is_err());
    }
}

#[tokio::test]
async fn a_line_torn_by_a_kill_is_cut_off_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = filled(folder.path()).await;
    let torn = fs::read_to_string(file(&settings)).expect("a file") + "{\"seq\":99,\"kind\":\"deci";
    fs::write(file(&settings), torn).expect("a file");
    assert_eq!(whole(&settings), Ok(0), "a line that nobody was told of is none");
    filled(folder.path()).await;
    assert_eq!(whole(&settings), Ok(0));
    assert!(fs::read_to_string(file(&settings)).expect("a file").contains("\"torn_bytes\":22"));
}

#[tokio::test]
async fn a_file_that_is_full_is_ended_and_the_next_hangs_on_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { file_bytes: 1, ..settings(folder.path()) };
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    for _ in 0..3 {
        log.write(b"{\"kind\":\"note\"}".to_vec());
    }
    assert!(log.close(Duration::from_secs(10)).await);
    let files = super::verify::files(&settings.dir).expect("a folder");
    assert!(files.len() > 1);
    assert_eq!(whole(&settings), Ok(0));
    fs::remove_file(&files[1]).expect("removed");
    assert!(whole(&settings).is_err(), "a file from the middle is missed");
}

#[tokio::test]
async fn a_write_whose_task_broke_down_is_unknown_and_one_that_was_never_sent_is_not_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let client = ClientId { issuer: "https://issuer".into(), id: "shop".into() };
    drop(log.record(&write(&client)));
    let mut sent = log.record(&write(&client));
    sent.sent();
    drop(sent);
    assert!(log.close(Duration::from_secs(10)).await);
    let text = fs::read_to_string(file(&settings)).expect("a file");
    let outcomes: Vec<&str> =
        text.lines().filter_map(|line| line.split("\"outcome\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(outcomes, ["not-sent", "unknown"]);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.key");
    Key::ensure(&path).expect("a key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(Key::ensure(&path).is_err());
}
