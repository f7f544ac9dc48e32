//! The log's promises, with files as they lie on a disk.

use super::chain::{Link, hex, parse};
use super::{Decision, Error, Head, Keep, Key, Log, Outcome, Pruned, Required, Settings, Step, cut, verify};
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
        record: None,
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
async fn what_others_say_is_one_line_that_commands_no_terminal_and_is_read_as_it_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let foreign = "x\r\n{\"seq\":1}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2028}\"\\";
    let client = ClientId { issuer: foreign.into(), id: foreign.into() };
    let groups = [Box::from(foreign)];
    log.record(&Decision { call: foreign, set: foreign, reason: foreign, groups: &groups, ..write(&client) })
        .ended(Outcome::Done);
    assert!(log.close(Duration::from_secs(10)).await);
    assert_eq!(whole(&settings), Ok(0), "the chain is over what stands there");
    let text = fs::read_to_string(file(&settings)).expect("a file");
    assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c)), "{text:?}");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let decision = lines.iter().find(|line| line["kind"] == "decision").expect("the decision");
    for name in ["client", "issuer", "call", "set", "reason"] {
        assert_eq!(decision[name], foreign, "{name}");
    }
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
async fn a_log_that_runs_on_is_signed_after_so_many_lines_and_so_long_after_one() {
    let day = Duration::from_secs(86_400);
    for (lines, every, again) in [(3, day, true), (u64::MAX, Duration::from_millis(1), true), (u64::MAX, day, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings { checkpoint_lines: lines, checkpoint_every: every, ..settings(folder.path()) };
        let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
        let client = ClientId { issuer: "https://issuer".into(), id: "shop".into() };
        for _ in 0..5 {
            log.record(&write(&client)).kept().await.expect("kept");
        }
        // Its beginning is always signed.
        let text = || fs::read_to_string(file(&settings)).unwrap_or_default();
        let signed = || text().matches("\"checkpoint\"").count() > 1;
        let beside = || Head::beside(&settings.dir).is_some_and(|head| head.seq > 4);
        let begun = std::time::Instant::now();
        while again && !(signed() && beside()) && begun.elapsed() < Duration::from_secs(20) {
            tokio::task::yield_now().await;
        }
        assert_eq!((signed(), beside()), (again, again), "{lines} lines, {every:?}: {}", text());
        assert!(log.close(Duration::from_secs(10)).await);
        assert_eq!(whole(&settings), Ok(0));
    }
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
fn a_key_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.key");
    Key::ensure(&path).expect("a key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).expect("a mode");
    assert!(Key::ensure(&path).is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).expect("a mode");
    assert!(Key::ensure(&path).is_ok(), "as systemd and Kubernetes hand it over");
}

/// A log of many small files.
async fn filed(folder: &Path) -> (Settings, Vec<PathBuf>) {
    let settings = Settings { file_bytes: 1, ..settings(folder) };
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let client = ClientId { issuer: "https://issuer".into(), id: "shop".into() };
    for _ in 0..6 {
        let mut ticket = log.record(&write(&client));
        ticket.kept().await.expect("kept");
        ticket.ended(Outcome::Done);
    }
    assert!(log.close(Duration::from_secs(10)).await);
    let files = super::verify::files(&settings.dir).expect("a folder");
    assert!(files.len() > 6, "{files:?}");
    (settings, files)
}

/// So that the newest ones stay, and about these many go.
fn room(files: &[PathBuf], go: usize) -> Keep {
    let size = |file: &PathBuf| fs::metadata(file).expect("a file").len();
    Keep { bytes: Some(files[go..].iter().map(size).sum()), days: None }
}

async fn pruned(settings: &Settings, keep: Keep) -> Result<Pruned, Error> {
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let pruned = log.prune(keep, "anna").await;
    assert!(log.close(Duration::from_secs(10)).await);
    pruned
}

#[tokio::test]
async fn what_was_pruned_is_told_by_a_signed_line_and_the_rest_is_proven_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    assert_eq!(pruned(&settings, Keep { days: Some(1), bytes: None }).await.expect("nothing to do"), Pruned::default());
    assert_eq!(pruned(&settings, Keep::default()).await.expect("nothing to do"), Pruned::default());
    let gone = pruned(&settings, room(&files, 3)).await.expect("pruned");
    assert!(gone.files.len() >= 3 && gone.files.starts_with(&files[..3]) && gone.first == 1, "{gone:?}");
    assert!(gone.files.iter().all(|file| !file.exists()));
    let key = Key::read(&settings.key).expect("a key").public();
    let found = verify(&settings.dir, key, Head::beside(&settings.dir).as_ref()).expect("readable").expect("whole");
    let record = found.pruned.expect("a record");
    assert_eq!((found.first, record.last, record.by.as_str()), (gone.last + 1, gone.last, "anna"));
    // And once more, on top of it.
    let left = super::verify::files(&settings.dir).expect("a folder");
    let more = pruned(&settings, room(&left, 2)).await.expect("pruned");
    assert_eq!(more.first, gone.last + 1);
    assert_eq!(whole(&settings).map(|_| ()), Ok(()));
}

#[tokio::test]
async fn a_kill_while_files_are_removed_leaves_a_log_that_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    let aside: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a file")).collect();
    let gone = pruned(&settings, room(&files, 3)).await.expect("pruned").files;
    for (file, text) in files.iter().zip(&aside).take(gone.len()).rev() {
        fs::write(file, text).expect("put back");
        assert_eq!(whole(&settings).map(|_| ()), Ok(()), "{}", file.display());
    }
    fs::remove_file(&files[1]).expect("removed");
    assert!(whole(&settings).is_err(), "but not one with a hole");
}

#[tokio::test]
async fn a_file_that_goes_without_a_record_is_missed_and_pruning_does_not_cover_it_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    fs::remove_file(&files[0]).expect("removed");
    let why = whole(&settings).expect_err("it is missed");
    assert!(why.contains("no signed record says"), "{why}");
    let why = pruned(&settings, room(&files, 3)).await.expect_err("it hides what was done").to_string();
    assert!(why.contains("no signed record says") && files[1].exists(), "{why}");
    // Behind a record as well.
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    pruned(&settings, room(&files, 3)).await.expect("pruned");
    let next = super::verify::files(&settings.dir).expect("a folder").remove(0);
    fs::remove_file(&next).expect("removed");
    assert!(whole(&settings).is_err(), "one file more than the record tells");
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let files = super::verify::files(&settings.dir).expect("a folder");
    assert!(log.prune(room(&files, 1), "anna").await.is_err());
    assert!(log.close(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn what_is_not_whole_is_not_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    let text = fs::read_to_string(&files[1]).expect("a file");
    fs::write(&files[1], text.replace("\"kind\"", "\"kinb\"")).expect("altered");
    let why = pruned(&settings, room(&files, 3)).await.expect_err("it is evidence").to_string();
    assert!(why.contains("nothing was removed"), "{why}");
    assert!(files.iter().all(|file| file.exists()));
}

#[tokio::test]
async fn a_record_that_somebody_else_made_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    let other = Key::ensure(&folder.path().join("other.key")).expect("a key");
    let ours = Key::read(&settings.key).expect("a key");
    let prefix =
        super::prune::Prefix::find(&settings.dir, ours.public(), room(&files, 2)).expect("whole").expect("files");
    let forged = prefix.record("mallory", &other);
    let good = prefix.record("anna", &ours);
    // One of another range under a signature that is good for this one.
    let moved =
        String::from_utf8(good.clone()).expect("text").replace("\"by\":\"anna\"", "\"by\":\"mallory\"").into_bytes();
    let newest = file(&settings);
    let before = fs::read(&newest).expect("a file");
    for file in &prefix.pruned.files {
        fs::remove_file(file).expect("removed");
    }
    for (record, expected) in [(forged, Some("not signed")), (moved, Some("not signed")), (good, None)] {
        // Whoever may write the files can hang a line on the chain.
        let last = before.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a line");
        let last = super::chain::parse(last).expect("a line of the log");
        let (at, mut text) = (super::chain::Link { seq: last.seq, hash: last.hash }, before.clone());
        at.write(&record, &mut text);
        fs::write(&newest, text).expect("written");
        let told = whole(&settings).map(|_| ());
        match expected {
            Some(part) => assert!(told.as_ref().is_err_and(|why| why.contains(part)), "{told:?}"),
            None => assert_eq!(told, Ok(()), "the key's own is good"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_short_after_another_is_taken_up_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    let first = pruned(&settings, room(&files, 2)).await.expect("pruned");
    let left = super::verify::files(&settings.dir).expect("a folder");
    let aside: Vec<Vec<u8>> = left.iter().map(|file| fs::read(file).expect("a file")).collect();
    let second = pruned(&settings, room(&left, 2)).await.expect("pruned");
    // As if the process had been killed once the second record was written.
    for (file, text) in left.iter().zip(&aside).take(second.files.len()) {
        fs::write(file, text).expect("put back");
    }
    let left = super::verify::files(&settings.dir).expect("a folder");
    let third = pruned(&settings, room(&left, 3)).await.expect("the newest record is not the one that counts here");
    assert_eq!((third.first, &third.files[..2]), (first.last + 1, &left[..2]));
    assert_eq!(whole(&settings).map(|_| ()), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_remove_at_once_never_remove_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, files) = filed(folder.path()).await;
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let (keep, more) = (room(&files, 3), room(&files, 5));
    let (one, other) = tokio::join!(log.prune(keep, "anna"), log.prune(more, "the settings"));
    let (one, other) = (one.expect("pruned"), other.expect("pruned"));
    assert!(one.files.len() >= 3 && one.files.iter().all(|file| !other.files.contains(file)), "{one:?} {other:?}");
    assert!(log.close(Duration::from_secs(10)).await);
    assert_eq!(whole(&settings).map(|_| ()), Ok(()));
}

/// What somebody did to a log, and in which words the next run tells of it.
type Attack = (&'static str, fn(&Settings), &'static str);

fn cuts() -> Vec<Attack> {
    fn lines(settings: &Settings, many: usize) -> String {
        let text = fs::read_to_string(file(settings)).expect("a file");
        text.lines().take(many).map(|line| format!("{line}\n")).collect()
    }
    fn last(text: &str) -> Link {
        let line = parse(text.lines().last().expect("a line").as_bytes()).expect("a line of the log");
        Link { seq: line.seq, hash: line.hash }
    }
    vec![
        ("its end is cut off", |of| fs::write(file(of), lines(of, 4)).expect("written"), "lines 5 to"),
        ("all is gone", |of| fs::remove_file(file(of)).expect("removed"), "lines 1 to"),
        ("all is empty", |of| fs::write(file(of), "").expect("written"), "lines 1 to"),
        (
            "the signature went too",
            |of| {
                fs::write(file(of), lines(of, 4)).expect("written");
                fs::remove_file(of.dir.join("head.json")).expect("removed");
            },
            "lines from 5 on",
        ),
        (
            "the signature is another's",
            |of| {
                let key = Key::ensure(&of.dir.join("another.key")).expect("a key");
                let kept = lines(of, 4);
                fs::write(file(of), &kept).expect("written");
                let at = last(&kept);
                let head = Head { seq: at.seq, chain: hex(&at.hash), signature: key.sign(at) };
                fs::write(of.dir.join("head.json"), head.text()).expect("written");
            },
            "lines from 5 on",
        ),
        (
            "others stand in their place",
            |of| {
                let mut text = lines(of, 4).into_bytes();
                let mut at = last(&lines(of, 4));
                for _ in 0..40 {
                    at = at.write(b"{\"kind\":\"note\"}", &mut text);
                }
                fs::write(file(of), text).expect("written");
            },
            "to 44",
        ),
    ]
}

#[tokio::test]
async fn what_was_signed_and_is_gone_is_told_by_the_next_run_until_somebody_has_looked_into_it() {
    for (name, attack, told) in cuts() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = filled(folder.path()).await;
        let copy = Head::beside(&settings.dir).expect("a head");
        attack(&settings);
        for _ in 0..2 {
            let metrics = Metrics::new();
            let log = Log::start(settings.clone(), &metrics).expect("callers are served");
            assert!(log.status().is_err_and(|why| why.contains("audit acknowledge")), "{name}");
            assert_eq!(metrics.audit_cut.get(), 1, "{name}");
            assert!(log.close(Duration::from_secs(10)).await);
            let why = whole(&settings).expect_err(name);
            assert!(why.contains(told) && why.contains("were gone"), "{name}: {why}");
        }
        let unasked = Settings { required: Required::Nothing, ..settings.clone() };
        let log = Log::start(unasked, &Metrics::new()).expect("a log");
        assert_eq!(log.status(), Ok(()), "{name}: nobody asks for a log");
        assert!(log.acknowledge("anna", "restored from a copy").await.expect("written"), "{name}");
        assert!(!log.acknowledge("anna", "again").await.expect("nothing to do"), "{name}");
        assert!(log.close(Duration::from_secs(10)).await);
        let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
        assert_eq!(log.status(), Ok(()), "{name}");
        assert!(log.close(Duration::from_secs(10)).await);
        let key = Key::read(&settings.key).expect("a key").public();
        let found = verify(&settings.dir, key, Head::beside(&settings.dir).as_ref()).expect("readable");
        let found = found.expect(name);
        assert_eq!(found.cuts.last().and_then(|cut| cut.by.as_deref()), Some("anna"), "{name}");
        let kept = verify(&settings.dir, key, Some(&copy)).expect("readable");
        assert!(kept.is_err(), "{name}: whoever kept a copy of the signature sees it for ever");
    }
}

#[tokio::test]
async fn only_the_keys_owner_says_that_a_cut_was_looked_into() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = filled(folder.path()).await;
    fs::remove_file(file(&settings)).expect("removed");
    filled(folder.path()).await;
    let text = fs::read(file(&settings)).expect("a file");
    let last = parse(text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a line")).expect("a line");
    let at = Link { seq: last.seq, hash: last.hash };
    let other = Key::ensure(&folder.path().join("other.key")).expect("a key");
    let mut forged = text.clone();
    at.write(&cut::acknowledged(100, "mallory", "nothing to see", &other), &mut forged);
    fs::write(file(&settings), forged).expect("written");
    assert!(whole(&settings).is_err_and(|why| why.contains("not signed with this key")));
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    assert!(log.status().is_err(), "nor does the next run believe it");
    assert!(log.close(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_cut_is_not_pruned_away_before_somebody_has_looked_into_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, _) = filed(folder.path()).await;
    fs::remove_file(file(&settings)).expect("removed");
    let (settings, files) = filed(folder.path()).await;
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let why = log.prune(room(&files, files.len() - 1), "mallory").await.expect_err("it is evidence").to_string();
    assert!(why.contains("were gone") && files[0].exists(), "{why}");
    assert!(log.acknowledge("anna", "a test").await.expect("written"));
    assert!(!log.prune(room(&files, files.len() - 1), "anna").await.expect("pruned").files.is_empty());
    assert!(log.close(Duration::from_secs(10)).await);
    assert_eq!(whole(&settings).map(|_| ()), Ok(()));
}

#[tokio::test]
async fn a_log_whose_lines_or_end_nobody_signed_is_not_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = filled(folder.path()).await;
    let key = Key::read(&settings.key).expect("a key");
    let found = |head: Option<&Head>| verify(&settings.dir, key.public(), head).expect("readable");
    let head = Head::beside(&settings.dir).expect("a head");
    assert!(found(Some(&head)).is_ok());
    assert!(found(None).is_err_and(|broken| broken.what.contains("head.json, is missing")));
    // Thousands behind the last signature are not the gateway's, and few can be.
    let text = fs::read(file(&settings)).expect("a file");
    for (many, good) in [(2_000, true), (5_000, false)] {
        let last = parse(text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a line")).expect("a line");
        let (mut at, mut longer) = (Link { seq: last.seq, hash: last.hash }, text.clone());
        for _ in 0..many {
            at = at.write(b"{\"kind\":\"note\"}", &mut longer);
        }
        fs::write(file(&settings), longer).expect("written");
        let told = found(Some(&head)).map_err(|broken| broken.what);
        assert_eq!(told.is_ok(), good, "{told:?}");
    }
    // One that is made up as a whole, under the first signature of an empty log.
    let mut made = Vec::new();
    let first = format!("{{\"kind\":\"file\",\"before\":\"{}\"}}", hex(&Link::START.hash));
    Link::START.write(first.as_bytes(), &mut made).write(b"{\"kind\":\"note\"}", &mut made);
    fs::write(file(&settings), made).expect("written");
    let empty = Head { seq: 0, chain: hex(&Link::START.hash), signature: key.sign(Link::START) };
    assert!(found(Some(&empty)).is_err_and(|broken| broken.what.contains("no line is signed")));
}

#[tokio::test]
async fn a_first_run_that_was_killed_at_any_line_is_no_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = filled(folder.path()).await;
    let text = fs::read_to_string(file(&settings)).expect("a file");
    let key = Key::read(&settings.key).expect("a key");
    let head = Head { seq: 0, chain: hex(&Link::START.hash), signature: key.sign(Link::START) };
    for many in 0..4 {
        let kept: String = text.lines().take(many).map(|line| format!("{line}\n")).collect();
        fs::write(settings.dir.join("decisions-000000000001.jsonl"), kept).expect("written");
        fs::write(settings.dir.join("head.json"), head.text()).expect("written");
        let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
        assert_eq!(log.status(), Ok(()), "{many} lines");
        assert!(log.close(Duration::from_secs(10)).await);
        assert_eq!(whole(&settings).map(|_| ()), Ok(()), "{many} lines");
    }
}

#[tokio::test]
async fn a_log_whose_first_signature_cannot_be_kept_is_not_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    // In the way of whatever is written beside its place first.
    fs::create_dir_all(settings.dir.join(format!("head.json.{}", std::process::id()))).expect("a folder");
    let why = Log::start(settings.clone(), &Metrics::new()).expect_err("its lines could be cut unseen").to_string();
    assert!(why.contains("audit folder"), "{why}");
    assert_eq!(super::verify::files(&settings.dir).expect("a folder"), Vec::<PathBuf>::new());
}

/// A log of two files, as it was written at these times.
fn aged(folder: &Path, times: [&str; 2]) -> Settings {
    let settings = settings(folder);
    fs::create_dir_all(&settings.dir).expect("a folder");
    let key = Key::ensure(&settings.key).expect("a key");
    let mut at = Link::START;
    for (number, time) in times.into_iter().enumerate() {
        let mut text = Vec::new();
        let first = serde_json::json!({ "kind": "file", "time": time, "before": hex(&at.hash) });
        at = at.write(first.to_string().as_bytes(), &mut text);
        let signature = key.sign(at);
        let head = Head { seq: at.seq, chain: hex(&at.hash), signature: signature.clone() };
        let words = serde_json::json!({ "kind": "checkpoint", "time": time, "signature": signature });
        at = at.write(words.to_string().as_bytes(), &mut text);
        fs::write(settings.dir.join(format!("decisions-{number:012}.jsonl")), text).expect("written");
        fs::write(settings.dir.join("head.json"), head.text()).expect("written");
    }
    settings
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_of_the_last_line_makes_nothing_old() {
    let year = Keep { days: Some(365), bytes: None };
    let folder = tempfile::tempdir().expect("a folder");
    let settings = aged(folder.path(), ["2019-01-01T00:00:00Z", "2019-06-01T00:00:00Z"]);
    let why = pruned(&settings, year).await.expect_err("is it 2019, or is the clock right?").to_string();
    assert!(why.contains("2019-06-01") && why.contains("--keep-mib"), "{why}");
    // By size it goes all the same, and a clock that fits the last line is believed.
    let both = Keep { bytes: Some(1), ..year };
    let folder = tempfile::tempdir().expect("a folder");
    let settings = aged(folder.path(), ["2019-01-01T00:00:00Z", "2019-06-01T00:00:00Z"]);
    assert_eq!(pruned(&settings, both).await.expect("by size").files.len(), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let yesterday = jiff::Timestamp::now() - Duration::from_secs(24 * 3_600);
    let settings = aged(folder.path(), ["2019-01-01T00:00:00Z", &yesterday.to_string()]);
    // The newest line of the first file is no newer than the first one of the next.
    assert_eq!(pruned(&settings, year).await.expect("nothing is old enough"), Pruned::default());
    let settings = Settings { file_bytes: 1, ..settings };
    let week = Keep { days: Some(0), bytes: None };
    assert_eq!(pruned(&settings, week).await.expect("old enough").files.len(), 1);
}

#[tokio::test]
async fn a_query_over_any_table_has_an_outcome_like_a_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let log = Log::start(settings.clone(), &Metrics::new()).expect("a log");
    let client = ClientId { issuer: "https://issuer".into(), id: "shop".into() };
    let raw = Decision { effect: Some(Effect::Raw), ..write(&client) };
    let ticket = log.record(&raw);
    let id = ticket.id.to_string();
    ticket.ended(Outcome::Done);
    // As after a kill: nobody tells what became of it.
    std::mem::forget(log.record(&raw));
    log.record(&Decision { effect: Some(Effect::Read), ..write(&client) });
    assert!(log.close(Duration::from_secs(10)).await);
    assert_eq!(whole(&settings), Ok(1), "one is open");
    let (mut kinds, filter) = (Vec::new(), super::Filter { id: Some(id), ..super::Filter::default() });
    super::find(&settings.dir, &filter, None, |line| kinds.push(line["kind"].clone())).expect("readable");
    assert_eq!(kinds, ["decision", "outcome"]);
}
