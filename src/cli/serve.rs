//! `serve`: start, say how to try it, wait for a signal, drain.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::settings;
use crate::app::{self, DEMO, Ended, Running};
use crate::config::{Certificate, Settings};
use crate::points::Target;
use crate::telemetry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a reader of the log may take for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

pub(super) async fn serve(config: Option<&Path>, words: &args::Serve) -> Result<ExitCode, Failure> {
    let mut settings = settings(config)?;
    settings.development = words.development;
    let log = telemetry::install(&settings.log.level).map_err(|error| Failure::begin(error.to_string()))?;
    let served = run(settings).await;
    log.flush(LAST_LINES);
    served
}

async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::begin(format!("signals can't be heard: {error}")))?;
    let told = settings.clone();
    let running = app::start(settings).await.map_err(|error| Failure::begin(error.to_string()))?;
    welcome(&running, &told);
    signals.next().await;
    show::note("Draining: no new connections, finishing what is in flight. A second signal ends it at once.");
    tokio::select! {
        ended = running.stop() => Ok(farewell(ended)),
        () = signals.next() => Err(Failure::on_the_way("ended at once by a second signal; what was in flight was not waited for")),
    }
}

fn farewell(ended: Ended) -> ExitCode {
    if ended.unfinished > 0 {
        show::note(&format!("{} requests were still in flight when the drain's time was up.", ended.unfinished));
    }
    if !ended.writes_settled {
        show::note("A write was still waiting for M3; its outcome is unknown.");
    }
    ExitCode::SUCCESS
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Where everything is; with the demo client, lines that work when pasted as they are.
fn welcome(running: &Running, settings: &Settings) {
    let at = &running.addresses;
    show::note(&format!("mi-gateway {} is up.", env!("CARGO_PKG_VERSION")));
    show::note(&format!("  public      {}", at.public_url));
    show::note(&format!("  operations  http://{}", at.operations));
    if let Some(mock) = at.mock {
        show::note(&format!("  mock M3     {mock} (MI socket protocol)"));
    }
    let ionapi = settings.state.join("clients").join(format!("{DEMO}.ionapi"));
    let (Certificate::Development(_), true) = (&settings.certificate, ionapi.exists() && at.mock.is_some()) else {
        return;
    };
    if running.first_start {
        show::note(&format!("  first start: the demo client's credentials are in {}", ionapi.display()));
    }
    for line in try_it(running, settings, &ionapi) {
        show::note(&line);
    }
}

fn try_it(running: &Running, settings: &Settings, ionapi: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("mi-gateway"));
    let program = quoted(&here(&program));
    let authority = quoted(&here(&running.authority));
    let ionapi = quoted(&here(ionapi));
    let url = &running.addresses.public_url;
    let curl = format!("curl --cacert {authority} -H \"Authorization: Bearer $TOKEN\"");
    let execute = format!("{url}/DEMO_TST/M3/m3api-rest/v2/execute");
    let mut lines = vec![
        String::new(),
        "Try it, in another terminal and in this folder:".to_owned(),
        String::new(),
        format!("TOKEN=$({program} token {ionapi} --cacert {authority})"),
        format!("{curl} '{execute}/CRS610MI/GetBasicData?CUNO=C00001'"),
        format!("{curl} \"{execute}/MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=TRY$(date +%s)&ITDS=First%20item\""),
    ];
    let trial = settings.points.iter().find_map(|point| match &point.target {
        Target::File(file) if file.folder.starts_with(&settings.state) => Some(&file.folder),
        _ => None,
    });
    lines.extend(trial.map(|folder| format!("sleep 2; cat {}/SyncItemMaster_TRY*.xml", quoted(&here(folder)))));
    lines.extend([format!("curl http://{}/metrics", running.addresses.operations), String::new()]);
    lines
}

/// As seen from this folder, where that is shorter.
fn here(path: &Path) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&folder).unwrap_or(path).display().to_string()
}

/// For a shell: bare where nothing in it means anything.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
