//! A quota over kills: never more than it allows, and what a kill costs is what was reserved ahead.

use super::{Process, READ, token};

/// A twentieth of it is reserved ahead.
const QUOTA: u64 = 40;
const AHEAD: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_survives_kills_and_never_gives_more_than_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let rules = at.join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    let permit = "@id(\"all\")\n@owner(\"tests\")\npermit (principal in Group::\"demo\", action in Action::\"read\", resource);\n";
    std::fs::write(rules.join("all.cedar"), permit).expect("a file");
    let limits =
        format!("[default]\nrate = \"1000/second\"\nburst = 1000\n[[quota]]\nper = \"day\"\nunits = {QUOTA}\n");
    std::fs::write(rules.join("limits.toml"), limits).expect("a file");
    let rules = rules.display().to_string();
    let setting =
        |door: &str| [("MI_GATEWAY__POLICY__DIR", rules.clone()), ("MI_GATEWAY__EDGE__LISTEN", door.to_owned())];
    let mut door = "127.0.0.1:0".to_owned();
    let (mut served, kills) = (0, 3);
    for round in 0..=kills {
        let words = setting(&door);
        let mut process = Process::start(at, &words.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
        // Its name is that of its door, and a client's quota is kept under it.
        door = process.addresses["public"][0].as_str().unwrap_or_default().to_owned();
        let token = token(at).await;
        for _ in 0..if round < kills { 7 } else { QUOTA + 1 } {
            match process.status(at, &token, READ).await {
                200 => served += 1,
                429 => break,
                other => panic!("{other}"),
            }
        }
        if round == kills {
            assert_eq!(process.status(at, &token, READ).await, 429, "spent is spent");
        }
        process.child.kill().await.expect("killed");
    }
    assert!(served <= QUOTA, "{served} of {QUOTA}");
    assert!(served >= QUOTA - kills * AHEAD, "a kill costs what was reserved ahead at most: {served} of {QUOTA}");
}
