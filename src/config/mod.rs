//! Settings: one TOML file and the environment, parsed once into types that can't be wrong.
//!
//! Unknown keys are refused, and every fault is reported at once with its place and a hint. The only reader of the
//! environment. Does not know: what the settings do.

mod audit;
mod fault;
mod inbound;
mod issuers;
mod keys;
mod m3;
mod points;
mod policy;
mod publish;
mod reader;
mod secret;
mod settings;

pub use fault::Fault;
pub use settings::{
    Backend, Certificate, Foreign, ForeignClient, ForeignIntrospection, LogSettings, Operations, Settings,
};

use reader::Reader;
use std::path::{Path, PathBuf};

/// The file that is read when nobody names one, where it exists.
const USUAL: &str = "gateway.toml";

/// Reads the file (the named one, or the usual one where it exists) and the environment.
#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
pub fn load(named: Option<&Path>) -> Result<Settings, Vec<Fault>> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let path = match named {
        Some(path) => Some(path.to_path_buf()),
        None => Some(PathBuf::from(USUAL)).filter(|path| path.exists()),
    };
    let Some(path) = path else { return parse(None, environment) };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(Some((&path.display().to_string(), &text)), environment),
        Err(error) => Err(vec![Fault {
            place: path.display().to_string(),
            subject: "the settings file".into(),
            message: format!("can't be read: {error}"),
            hint: "name another with --config, or make it readable".into(),
        }]),
    }
}

/// Pure but for the files that the settings name: a file's name and text, and the environment, to settings.
pub fn parse(
    file: Option<(&str, &str)>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Vec<Fault>> {
    let mut reader = Reader::new(file, environment);
    let mut settings = keys::settings(&mut reader);
    settings.secret_files = secret_files(&mut reader, &settings);
    let faults = reader.finish();
    if faults.is_empty() { Ok(settings) } else { Err(faults.into_vec()) }
}

fn secret_files(reader: &mut Reader, settings: &Settings) -> Vec<(String, PathBuf)> {
    let mut files = std::mem::take(&mut reader.secret_files);
    if let Certificate::Files { key, .. } = &settings.certificate {
        files.push(("edge.key".into(), key.clone()));
    }
    files.push(("audit.key".into(), settings.audit.key.clone()));
    files
}

#[cfg(test)]
mod tests;
