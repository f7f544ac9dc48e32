//! `mock`: the mock M3 alone, for clients of the MI socket and of m3api-rest.

use super::args;
use super::failure::Failure;
use super::show;
use crate::mock_m3::{self, Mock};
use crate::tasks::Tasks;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

pub(super) async fn mock(words: &args::Mock) -> Result<ExitCode, Failure> {
    let tasks = Tasks::new();
    let settings = mock_m3::Settings {
        listen: words.listen,
        rest: words.rest,
        big_list: words.big_list,
        journal: words.journal.clone(),
        ..mock_m3::Settings::default()
    };
    let users: Vec<String> = settings.users.iter().map(|user| format!("{} / {}", user.name, user.password)).collect();
    let heard = |error| Failure::begin(format!("signals can't be heard: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(heard)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(heard)?;
    let started = Mock::start(settings, &tasks).await;
    let mock = started.map_err(|error| {
        Failure::begin(format!("the mock M3 can't listen on {}: {error}; name another with --listen", words.listen))
    })?;
    let rest = mock.rest_address().map(|rest| format!(" m3api-rest on http://{rest},")).unwrap_or_default();
    show::note(&format!("Mock M3 on {},{rest} development users: {}", mock.address(), users.join(", ")));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tasks.finish(Duration::from_secs(2)).await;
    Ok(ExitCode::SUCCESS)
}
