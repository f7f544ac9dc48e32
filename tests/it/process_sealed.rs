//! An outbox whose content is encrypted, over kills and other secrets.

use super::outbox::{Live, until};
use super::{Process, run, text};
use std::path::Path;

const MARK: &str = "HushHushHush";
const PUBLIC: (&str, &str) = ("MI_GATEWAY__PUBLIC_URL", "https://gateway.test");
const SECRET: &str = "MI_GATEWAY__OUTBOX__ENCRYPTION__SECRET";
const FORMER: &str = "MI_GATEWAY__OUTBOX__ENCRYPTION__FORMER__FIRST";
const FIRST: &str = "first-secret-of-thirty-two-letters-and-more";
const SECOND: &str = "second-secret-of-thirty-two-letters-and-more";

fn lies_open(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder.join(".mi-gateway/outbox")).expect("a folder").flatten();
    files.map(|file| std::fs::read(file.path()).unwrap_or_default()).any(|bytes| text(&bytes).contains(MARK))
}

async fn shown(folder: &Path, environment: &[(&str, &str)]) -> String {
    let listed = run(folder, &["outbox", "list", "--json", "--key", "SEALED"], environment).await;
    let listed = text(&listed.stdout) + &text(&listed.stderr);
    let message = listed.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let Some(message) = message else { return listed };
    text(&run(folder, &["outbox", "show", message["id"].as_str().expect("an id")], environment).await.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_lies_sealed_in_the_outbox_over_a_kill_and_under_another_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let first = [PUBLIC, (SECRET, FIRST)];
    let mut live = Live::of(Process::start(at, &first).await, at, ".mi-gateway/clients/demo.ionapi").await;
    let added = live.call(&format!("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=SEALED&ITDS={MARK}")).await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    until("its document", || async { shown(at, &first).await.contains(MARK) }).await;
    assert!(!lies_open(at), "while it runs");
    live.process.child.kill().await.expect("killed");
    assert!(!lies_open(at), "after a kill");
    // Without the secret, or with another one, nothing is read and nothing begins.
    for environment in [&[PUBLIC][..], &[PUBLIC, (SECRET, SECOND)]] {
        let refused = shown(at, environment).await;
        assert!(refused.contains("not sealed as [outbox.encryption] says"), "{refused}");
        let ended = run(at, &["serve"], environment).await;
        let said = text(&ended.stderr);
        assert!(!ended.status.success() && said.contains("outbox.encryption.former"), "{said}");
    }
    let short = run(at, &["serve"], &[PUBLIC, (SECRET, "short")]).await;
    assert!(text(&short.stderr).contains("shorter than 32 characters"), "{}", text(&short.stderr));
    // Another secret, with the first one beside it for one start.
    std::fs::write(at.join("first"), FIRST).expect("a file");
    let second = [PUBLIC, (SECRET, SECOND), (FORMER, "first")];
    let process = Process::start(at, &second).await;
    process.signal("TERM");
    assert_eq!(process.ended().await.0, Some(0));
    let second = &second[..2];
    let process = Process::start(at, second).await;
    assert!(shown(at, second).await.contains(MARK));
    assert!(!lies_open(at));
    process.signal("TERM");
    let (code, said) = process.ended().await;
    assert!(code == Some(0) && !said.contains(SECOND), "{said}");
}
