//! `token revoke` and `block`: what is stopped at once, in a running gateway too.

use super::args::{self, Lift};
use super::failure::Failure;
use super::keys::time;
use super::show;
use super::state::{public_url, settings, store};
use crate::app::{BlockOrder, Named, RevokeOrder, shown, write_down};
use crate::clock::unix_seconds;
use crate::stoplist::{Book, Entry, Error, Order};
use crate::store::Store;
use secrecy::SecretString;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;
use std::process::ExitCode;
use zeroize::Zeroizing;

const MOST_TOKEN: u64 = 16 * 1024;

pub(super) async fn tokens(config: Option<&Path>, words: args::TokenThen) -> Result<ExitCode, Failure> {
    let (store, named) = opened(config).await?;
    match words {
        args::TokenThen::Revoke(words) => {
            let token = match (&words.id, &words.client, &words.before) {
                (None, None, None) => Some(token(words.file.as_deref())?),
                _ => None,
            };
            let args::Revoke { id, client, issuer, before, reason, by, .. } = words;
            let order = RevokeOrder { token, id, client, issuer, before, reason, by };
            let order =
                named.revocation(order, &this_user()).await.map_err(|error| Failure::begin(error.to_string()))?;
            add(&store, order).await?;
            show::note("Revoked; it holds in a running gateway within a second.");
        }
        args::TokenThen::Revoked { json } => list(&store, false, json).await?,
        args::TokenThen::Restore(words) => lift(&store, false, words).await?,
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn block(config: Option<&Path>, words: args::Block) -> Result<ExitCode, Failure> {
    let (store, named) = opened(config).await?;
    let (client, issuer, program, order) = match words {
        args::Block::List { json } => {
            list(&store, true, json).await?;
            store.close().await;
            return Ok(ExitCode::SUCCESS);
        }
        args::Block::Lift(words) => {
            lift(&store, true, words).await?;
            store.close().await;
            return Ok(ExitCode::SUCCESS);
        }
        args::Block::Client { client, issuer, order } => (Some(client), issuer, None, order),
        args::Block::Program { program, order } => (None, None, Some(program), order),
    };
    let order = BlockOrder { client, issuer, program, reason: order.reason, until: order.until, by: order.by };
    let order = named.block(order, &this_user()).await.map_err(|error| Failure::begin(error.to_string()))?;
    add(&store, order).await?;
    show::note("Blocked; it holds in a running gateway within a second. Lift it with `mi-gateway block lift ENTRY`.");
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn opened(config: Option<&Path>) -> Result<(Store, Named), Failure> {
    let settings = settings(config)?;
    let store = store(&settings).await?;
    let named = Named::new(&settings, &public_url(&settings), &store);
    Ok((store, named))
}

/// Never as a word of the command line, where every user of the machine can read it.
fn token(file: Option<&Path>) -> Result<SecretString, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = match file.filter(|file| *file != Path::new("-")) {
        None => stdin().take(MOST_TOKEN).read_to_string(&mut text),
        Some(file) => File::open(file).and_then(|open| open.take(MOST_TOKEN).read_to_string(&mut text)),
    };
    let from = file.map_or_else(|| "the standard input".to_owned(), |file| file.display().to_string());
    read.map_err(|error| {
        Failure::begin(format!("{from}: {error}; give the token's text in a file or on standard input"))
    })?;
    Ok(SecretString::from(text.trim()))
}

pub(super) fn this_user() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

async fn add(store: &Store, order: Order) -> Result<(), Failure> {
    let made = write_down(store, order).await.map_err(failed)?;
    made.iter().for_each(|entry| show::line(&row(entry)));
    Ok(())
}

async fn list(store: &Store, blocks: bool, json: bool) -> Result<(), Failure> {
    let book = Book::open(store).await.map_err(failed)?;
    let entries = book.list(unix_seconds()).await.map_err(failed)?;
    let mut none = true;
    for entry in entries.iter().filter(|entry| entry.what.is_block() == blocks) {
        none = false;
        show::line(&if json { shown(entry).to_string() } else { row(entry) });
    }
    if none {
        show::note(if blocks { "Nothing is blocked." } else { "Nothing is revoked." });
    }
    Ok(())
}

async fn lift(store: &Store, blocks: bool, words: Lift) -> Result<(), Failure> {
    let book = Book::open(store).await.map_err(failed)?;
    let by = words.by.unwrap_or_else(this_user);
    let entry = book.end(&words.entry, blocks, &by, unix_seconds()).await.map_err(failed)?;
    show::line(&entry.id);
    show::note("Lifted; it holds in a running gateway within a second.");
    Ok(())
}

fn row(entry: &Entry) -> String {
    let subject = entry.what.subject().unwrap_or_default();
    let before = entry.what.before().map(|at| format!(" up to {}", time(at))).unwrap_or_default();
    let until = entry.until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {}", time(until)));
    let issuer = entry.what.issuer().unwrap_or("-");
    let (kind, who) = (entry.what.kind(), &entry.who);
    format!("{:<14}  {kind:<15}  {subject}{before}  {issuer}  {until}  by {who}  {}", &*entry.id, entry.reason)
}

#[expect(clippy::needless_pass_by_value, reason = "where errors are mapped it is handed one of its own")]
fn failed(error: Error) -> Failure {
    if error.is_of_the_order() { Failure::begin(error.to_string()) } else { Failure::on_the_way(error.to_string()) }
}
