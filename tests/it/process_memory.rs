//! Memory stays within its bounds whatever a caller does not take.

use super::{Process, token};
use crate::attacker::{
    Attacker, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, block, frame, get, setting,
};
use std::path::Path;
use std::time::{Duration, Instant};

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

/// More than any of these floods may take, each on connections of its own.
const FLOOD_MIB: f64 = 64.0;
/// Of the processor's time, for all connections of a flood: each is ended long before its frames are.
const FLOOD_TIME: Duration = Duration::from_secs(3);
const FLOODERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_take_little_memory_and_little_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let rules = unlimited(at);
    let process = Process::start(at, &[("MI_GATEWAY__POLICY__DIR", rules.as_str())]).await;
    let token = token(at).await;
    let address = process.addresses["public"][0].as_str().and_then(|door| door.parse().ok()).expect("an address");
    let (head, cancel) = (get(PATHS[3], &token), 8u32.to_be_bytes());
    let stream = |at: u32| 2 * at + 1;
    // A field of 4,000 bytes that is sent once, and then named sixteen thousand times.
    let mut kept = vec![0x40, 1, b'x', 127, 0xa1, 0x1e];
    kept.extend(vec![b'y'; 127 + 33 + 30 * 128]);
    let (first, bomb) = ([get("/", ""), kept].concat(), [get("/", ""), vec![0xbe; 16_000]].concat());
    let (begin, more) = (frame(HEADERS, 0, 1, &get("/", "")), frame(CONTINUATION, 0, 1, &block(&[("x", "y")])));
    type Turn<'a> = &'a (dyn Fn(u32) -> Vec<u8> + Sync);
    let floods: [(&str, usize, Turn<'_>); 6] = [
        ("rapid reset", 20_000, &|at| {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &head);
            [open, frame(RST_STREAM, 0, stream(at), &cancel)].concat()
        }),
        ("CONTINUATION", 100_000, &|at| if at == 0 { begin.clone() } else { more.clone() }),
        ("SETTINGS", 200_000, &|at| frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1_000 + at % 2))),
        ("PING", 200_000, &|_| frame(PING, 0, 0, &[1; 8])),
        ("frames of no kind", 200_000, &|_| frame(0xbb, 0, 0, &[])),
        ("HPACK", 20_000, &|at| {
            frame(HEADERS, END_HEADERS | END_STREAM, stream(at), if at == 0 { &first } else { &bomb })
        }),
    ];
    let (resting, began) = (mib(&process, "VmRSS:"), Instant::now());
    for (what, most, flood) in floods {
        let before = processor(&process);
        let attacks = (0..FLOODERS).map(|_| async {
            Attacker::dial(address, &at.join("certs/dev/ca.pem"), &[]).await.flood(most, flood).await
        });
        for said in futures_util::future::join_all(attacks).await {
            assert!(said.frames.iter().sum::<usize>() < 10_000, "{what}: answered {:?}", said.frames);
        }
        let (spent, grown) = (processor(&process) - before, mib(&process, "VmHWM:") - resting);
        eprintln!("{what}: {spent:?} of the processor, {grown:.1} MiB, after {:?}", began.elapsed());
        assert!(spent < FLOOD_TIME, "{what}: {spent:?} of the processor");
        assert!(grown < FLOOD_MIB, "{what}: {grown} MiB more than at rest");
        assert_eq!(process.status(at, &token, super::READ).await, 200, "{what}: others are served");
    }
}

/// What the process has used of the processor, in user and system mode; Linux counts it in hundredths of a second.
fn processor(process: &Process) -> Duration {
    let id = process.child.id().expect("it runs");
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("Linux tells it");
    let behind = stat.rsplit(')').next().expect("what is behind its name");
    let words: Vec<&str> = behind.split_whitespace().collect();
    let ticks: u64 = words[11..13].iter().map(|word| word.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
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
