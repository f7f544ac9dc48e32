//! The words of the load benches: what a thread has used, and a mock M3 whose work is not the gateway's.

#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod inside;
pub(crate) mod process;

use mi_gateway::mock_m3::{self, Mock};
use mi_gateway::tasks::Tasks;
use rustix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The processor time of this thread: what others do on the machine is not in it.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

pub(crate) fn micros(time: Duration, times: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(times)
}

/// A mock M3 on a thread and a runtime of its own, until the process ends.
pub(crate) fn mock_elsewhere(settings: mock_m3::Settings) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mock = Mock::start(settings, &Tasks::new()).await.expect("a mock that starts");
            tell.send(mock.address()).expect("the bench waits for it");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the mock's address")
}

/// The shipped policies, with limits that no bench reaches.
pub(crate) fn policies(to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for entry in std::fs::read_dir(shipped).expect("the shipped policies") {
        let entry = entry.expect("an entry");
        if entry.path().extension().is_some_and(|extension| extension == "cedar") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
    std::fs::write(to.join("limits.toml"), "[default]\nrate = \"1000000/second\"\nburst = 1000000\n").expect("a file");
}

/// The form that asks for a token, from what stands in a client's .ionapi file.
pub(crate) fn credentials(ionapi: &serde_json::Value) -> String {
    let text = |name: &str| ionapi[name].as_str().expect("a member of the file").to_owned();
    form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &text("ci"))
        .append_pair("client_secret", &text("cs"))
        .finish()
}
