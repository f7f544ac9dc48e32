//! Content that lies sealed on the disk, and is read as if it did not.

use super::*;
use crate::outbox::reseal::expect as expect_seal;
use secrecy::SecretString;
use serde_json::json;

const MARK: &str = "HUSHHUSH";

fn seal(own: Option<&str>, former: &[&str]) -> Seal {
    let secret = |text: &&str| SecretString::from(text.repeat(32));
    let former: Vec<SecretString> = former.iter().map(secret).collect();
    Seal::new(own.as_ref().map(secret).as_ref(), &former).expect("secrets")
}

fn settings(folder: &Path, own: Option<&str>, former: &[&str]) -> Settings {
    Settings { seal: seal(own, former), ..Settings::under(folder.join("outbox")) }
}

async fn start(folder: &Path, own: Option<&str>, former: &[&str]) -> Result<Outbox, Error> {
    let settings = settings(folder, own, former);
    Outbox::start(settings, Coverage::default(), &Metrics::new(), &Tasks::new()).await
}

async fn stop(outbox: Outbox) {
    assert!(outbox.finish(Duration::from_secs(30)).await, "what waits is written");
    outbox.close().await;
}

/// Whether the mark can be read anywhere in the outbox's files.
fn lies_open(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder.join("outbox")).expect("a folder").flatten();
    let found = |bytes: Vec<u8>| bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes());
    files.map(|file| std::fs::read(file.path()).unwrap_or_default()).any(found)
}

fn keyed() -> Intent {
    Intent { name: "intent-keyed".into(), ..intent(Some("k1"), MARK) }
}

/// A settled write with a key, one that nobody knows of, a delete that is under way with what is to go, a document, and one of
/// M3's own publisher that differs from it.
async fn fill(outbox: &Outbox) {
    new(outbox, &keyed()).await.settle(&done(MARK)).await;
    outbox.looks_with(std::sync::Arc::new(|_, _| Box::pin(async { Before::Image(format!("[{MARK:?}]")) })));
    let mut unknown = intent(None, "unknown");
    unknown.fields.push((FieldName::parse("CUA1").expect("a field"), MARK.into()));
    unknown.due = vec![item("Sync", true)];
    new(outbox, &unknown).await.lose();
    message(outbox, 7, &format!("<a>{MARK}</a>")).await;
    let (xml, ledger) = (format!("<b>{MARK}</b>"), outbox.ledger());
    theirs::arrives(&ledger, "of-m3", &xml).await;
    let pair = theirs::pair(&ledger, 1).await;
    let different = Compared::Different { message: 1, many: 1, found: json!([MARK]) };
    assert!(ledger.compared(&pair, &different).await.expect("kept"));
}

/// Everything that was put in comes out as it was.
async fn is_whole(outbox: &Outbox) {
    let again = outbox.open(&keyed()).await;
    assert!(matches!(&again, Ok(Opened::Settled(outcome)) if *outcome == done(MARK)), "{again:?}");
    let ledger = outbox.ledger();
    let questions = ledger.questions(Duration::ZERO, 10).await.expect("read");
    let asked = questions.iter().find(|question| question.name == "intent-unknown").expect("it is asked");
    assert!(asked.fields.contains(&("CUA1".into(), MARK.into())), "{asked:?}");
    let shown = ledger.show("intent-unknown").await.expect("it is shown");
    assert!(shown["fields"].to_string().contains(MARK), "{shown}");
    let document = ledger.show("bod-7").await.expect("it is shown");
    assert_eq!(
        (&document["xml"], &document["comparison"]["first"]),
        (&json!(format!("<a>{MARK}</a>")), &json!([MARK]))
    );
    assert_eq!(ledger.show("of-m3").await.expect("it is shown")["xml"], format!("<b>{MARK}</b>"));
    let waits = ledger.pending("point", &[], 10).await.expect("read");
    assert_eq!(waits.iter().map(|one| one.kept.made.xml.as_str()).collect::<Vec<_>>(), [format!("<a>{MARK}</a>")]);
}

#[tokio::test]
async fn what_is_sealed_can_be_read_in_no_file_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = start(folder.path(), Some("a"), &[]).await.expect("starts");
    fill(&outbox).await;
    is_whole(&outbox).await;
    assert!(!lies_open(folder.path()), "while it runs");
    stop(outbox).await;
    assert!(!lies_open(folder.path()), "and after");
    // What was to be deleted turned out to be gone: its document has what it was.
    let outbox = start(folder.path(), Some("a"), &[]).await.expect("starts");
    let ledger = outbox.ledger();
    let questions = ledger.questions(Duration::ZERO, 10).await.expect("read");
    let question = questions.iter().find(|question| question.name == "intent-unknown").expect("it is asked");
    ledger.answer(question, &Verdict::Committed).await.expect("answered");
    let due = ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read");
    let deleted = due.iter().find(|due| due.deletes).expect("a document of the delete");
    assert_eq!(deleted.before.as_deref(), Some(&*format!("[{MARK:?}]")));
    assert!(!lies_open(folder.path()), "in its document neither");
}

#[tokio::test]
async fn encryption_is_switched_on_given_another_secret_and_switched_off_without_a_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = start(folder.path(), None, &[]).await.expect("starts");
    fill(&outbox).await;
    stop(outbox).await;
    assert!(lies_open(folder.path()), "without encryption it can be read");
    let steps: [(Option<&str>, &[&str], bool); 4] =
        [(Some("a"), &[], false), (Some("b"), &["a"], false), (Some("b"), &[], false), (None, &["b"], true)];
    for (own, former, open) in steps {
        let outbox = start(folder.path(), own, former).await.unwrap_or_else(|error| panic!("{own:?}: {error}"));
        is_whole(&outbox).await;
        stop(outbox).await;
        assert_eq!(lies_open(folder.path()), open, "{own:?} after {former:?}");
    }
    is_whole(&start(folder.path(), None, &[]).await.expect("starts")).await;
}

#[tokio::test]
async fn without_the_secret_nothing_starts_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = start(folder.path(), Some("a"), &[]).await.expect("starts");
    fill(&outbox).await;
    stop(outbox).await;
    for (own, former) in [(None, &[][..]), (Some("b"), &[]), (None, &["b"])] {
        let refused = start(folder.path(), own, former).await.expect_err("refused").to_string();
        assert!(refused.contains("another secret") && refused.contains("outbox.encryption.former.NAME"), "{refused}");
        let beside = Ledger::open(&settings(folder.path(), own, former)).await.expect_err("refused").to_string();
        assert!(beside.contains("start the gateway once"), "{beside}");
    }
    // The store was told of the others, and of no content under them: the right one is taken as it was.
    let outbox = start(folder.path(), Some("a"), &[]).await.expect("starts");
    is_whole(&outbox).await;
    expect_seal(&outbox.ledger().store, &seal(Some("a"), &[])).await.expect("the only one");
}

#[tokio::test]
async fn a_change_that_is_cut_short_goes_on_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = start(folder.path(), None, &[]).await.expect("starts");
    fill(&outbox).await;
    stop(outbox).await;
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let mut write = store.write().await.expect("a transaction");
    // As it was left behind the first of its steps: the new seal is named, and one content is under it.
    let own = seal(Some("a"), &[]);
    let xml = own.close(("xml", "bod-7"), &format!("<a>{MARK}</a>")).expect("seals").into_owned();
    sqlx::query("INSERT INTO seals VALUES (?)").bind(own.name().to_owned()).execute(&mut *write).await.expect("named");
    sqlx::query("UPDATE messages SET xml = ?").bind(xml).execute(&mut *write).await.expect("sealed");
    write.commit().await.expect("commits");
    store.close().await;
    let refused = start(folder.path(), None, &[]).await.expect_err("refused");
    assert!(matches!(refused, Error::Sealed { .. }), "{refused}");
    let outbox = start(folder.path(), Some("a"), &[]).await.expect("starts");
    is_whole(&outbox).await;
    assert!(!lies_open(folder.path()));
}

#[tokio::test]
async fn a_message_that_can_t_be_opened_is_parked_with_its_reason_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = start(folder.path(), Some("a"), &[]).await.expect("starts");
    for at in 0..4 {
        message(&outbox, at, &format!("<a>{at}</a>")).await;
    }
    let ledger = outbox.ledger();
    let mut write = ledger.store.write().await.expect("a transaction");
    // The oldest of its record, and the next is under a secret that nobody has.
    let torn = "UPDATE messages SET xml = CASE bod_id WHEN 'bod-0' THEN substr(xml, 1, 40) ELSE '~00000000.AAAA' END
        WHERE bod_id IN ('bod-0', 'bod-1')";
    sqlx::query(torn).execute(&mut *write).await.expect("torn");
    write.commit().await.expect("commits");
    let (mut came, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let some = ledger.pending("point", &busy, 1).await.expect("read");
        busy.extend(some.iter().map(|one| one.record));
        came.extend(some.iter().map(|one| one.kept.made.bod_id.clone()));
    }
    assert!(
        came.contains(&"bod-2".to_owned()) && came.contains(&"bod-3".to_owned()),
        "those behind it go on: {came:?}"
    );
    for (id, why) in [("bod-0", "can't be read"), ("bod-1", "another secret")] {
        let wanted = Wanted { state: Some("parked".into()), most: 10, ..Wanted::default() };
        let parked = ledger.list(&wanted).await.expect("a list");
        let one = parked.iter().find(|entry| entry["id"] == id).unwrap_or_else(|| panic!("{id} in {parked:?}"));
        assert!(one["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{one}");
    }
}
