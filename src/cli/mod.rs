//! The command line: words in, an exit code out. 0 done, 1 failed on the way, 2 could not begin.
//!
//! Does not know: how anything is done; every command fronts a room below.

mod args;
mod audit;
mod bod;
mod catalog;
mod certs;
mod check;
mod client;
mod client_auth;
mod connection;
mod door;
mod failure;
mod keys;
mod limits;
mod mock;
mod outbox;
mod policy;
mod preview;
mod probe;
mod proof;
mod serve;
mod show;
mod state;
mod stop_args;
mod stops;
mod token;

use args::{Arguments, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

/// Everything that `main` does.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::begin(format!("the runtime can't be started: {error}")).tell(),
    };
    let done = runtime.block_on(dispatch(arguments));
    // What still runs by now was waited for as long as it should be.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

async fn dispatch(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.config.as_deref();
    match arguments.command.unwrap_or(Command::Serve(args::Serve::default())) {
        Command::Serve(words) => serve::serve(config, &words).await,
        Command::Check(words) => check::check(config, &words).await,
        Command::Client(words) => client::client(config, words).await,
        Command::Keys(words) => keys::keys(config, &words).await,
        Command::Catalog(words) => catalog::catalog(config, words).await,
        Command::Policy(words) => policy::policy(config, &words).await,
        Command::Audit(words) => audit::audit(config, words).await,
        Command::Limits(words) => limits::limits(config, words).await,
        Command::Outbox(words) => outbox::outbox(config, words).await,
        Command::Bod(words) => bod::bod(config, &words).await,
        Command::Token(words) => match words.then {
            Some(then) => stops::tokens(config, then).await,
            None => token::token(config, &words).await,
        },
        Command::Block(words) => stops::block(config, words).await,
        Command::Mock(words) => mock::mock(&words).await,
        Command::Certs(words) => certs::certs(&words),
    }
}
