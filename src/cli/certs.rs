//! `certs`: make or show the development certificates.

use super::args;
use super::failure::Failure;
use super::show;
use crate::edge::ensure_development;
use std::process::ExitCode;

pub(super) fn certs(words: &args::Certs) -> Result<ExitCode, Failure> {
    let files = ensure_development(&words.dir).map_err(|error| Failure::begin(error.to_string()))?;
    show::note("A development authority, good for localhost and loopback alone, and a server certificate of it:");
    for path in [files.ca, files.chain, files.key] {
        show::line(&path.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}
