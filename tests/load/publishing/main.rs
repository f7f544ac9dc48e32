//! What telling the company of a write costs: documents made, writes with and without the outbox, deliveries, and a
//! backlog of a million documents.
//!
//! `cargo bench --bench publishing -- documents writes deliveries backlog` runs these parts alone.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

mod backlog;
#[path = "../common/mod.rs"]
mod common;
mod deliveries;
mod documents;
mod held;
mod writes;

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|word| word == part);
    if wanted("documents") {
        documents::measure();
    }
    if wanted("writes") {
        writes::measure().await;
    }
    if wanted("deliveries") {
        deliveries::measure().await;
    }
    if wanted("backlog") {
        backlog::measure().await;
    }
}
