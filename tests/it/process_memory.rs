//! Memory stays within its bounds whatever a caller does not take.

use super::{Process, token};
use crate::attacker::{Attacker, END_HEADERS, END_STREAM, HEADERS, frame, get, setting};
use std::path::Path;

const INITIAL_WINDOW: u16 = 4;
const CONNECTIONS: usize = 4;
const STREAMS: u32 = 200;

/// Every answer that the gateway holds, its request and its connection: what a request needs while it is worked on, and no answer whole.
const MOST_MIB: f64 = 110.0;

/// Long and one for all, long and read from M3 as it goes, short and many.
const PATHS: [&str; 4] = [
    "/m3api-rest/metadata/CRS610MI",
    "/m3api-rest/openapi/CRS610MI",
    "/m3api-rest/v2/execute/CRS610MI/LstByNumber?maxrecs=0",
    "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001",
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_not_held_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let rules = unlimited(at);
    let process = Process::start(at, &[("MI_GATEWAY__POLICY__DIR", rules.as_str())]).await;
    let token = token(at).await;
    let address = process.addresses["public"][0].as_str().and_then(|door| door.parse().ok()).expect("an address");
    let resting = mib(&process, "VmRSS:");
    for (window, path) in PATHS.into_iter().enumerate() {
        let room = setting(INITIAL_WINDOW, window as u32 % 2);
        let head = get(path, &token);
        let asks: Vec<u8> =
            (0..STREAMS).flat_map(|at| frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &head)).collect();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut attacker = Attacker::dial(address, &at.join("certs/dev/ca.pem"), &room).await;
            assert!(attacker.say(&asks).await);
            held.push(attacker);
        }
        for attacker in &mut held {
            while attacker.from.said.frames[usize::from(HEADERS)] < STREAMS as usize {
                assert!(attacker.from.next().await.is_some(), "{path}: {:?}", attacker.from.said);
            }
        }
    }
    let grown = mib(&process, "VmHWM:") - resting;
    assert!(grown < MOST_MIB, "{grown} MiB more than at rest");
}

fn unlimited(at: &Path) -> String {
    let rules = at.join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    let permit = "@id(\"all\")\n@owner(\"tests\")\npermit (principal in Group::\"demo\", action in [Action::\"read\", Action::\"write\"], resource);\n";
    std::fs::write(rules.join("all.cedar"), permit).expect("a file");
    let limits = "[default]\nrate = \"1000000/second\"\nburst = 1000000\n";
    std::fs::write(rules.join("limits.toml"), limits).expect("a file");
    rules.display().to_string()
}

fn mib(process: &Process, name: &str) -> f64 {
    let id = process.child.id().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux tells it");
    let line = status.lines().find(|line| line.starts_with(name)).expect(name);
    line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).expect("a number of KiB") / 1024.0
}
