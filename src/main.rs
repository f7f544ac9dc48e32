//! The binary: an allocator, and everything else in the library.

use std::process::ExitCode;

// Replies are many small texts; measured faster than the system's allocator for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mi_gateway::cli::run()
}
