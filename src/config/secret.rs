//! Secrets out of the files that the settings name. A file is named in a fault, its content never.

use super::reader::Reader;
use crate::store;
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// A password file is a line; anything longer is the wrong file.
pub(super) const MOST_SECRET: u64 = 4_096;
const MOST_KEY: u64 = 1_048_576;

/// A file of text, with what is wrong with it as a fault.
pub(super) fn text(reader: &mut Reader, key: &str, file: &Path, most: u64) -> Option<SecretString> {
    let text = plain(file).and_then(|()| store::read_secret_text(file, most));
    told(reader, key, file, text.map(|text| kept(&text)))
}

/// The first line of a secret's file.
pub(super) fn first_line(reader: &mut Reader, key: &str, file: &Path) -> Option<SecretString> {
    let text = plain(file).and_then(|()| store::read_secret_text(file, MOST_SECRET));
    told(reader, key, file, text.map(|text| line_of(&text)))
}

/// A private key in PEM.
pub(super) fn private_key(reader: &mut Reader, key: &str, file: &Path) -> Option<Zeroizing<Vec<u8>>> {
    reader.secret_file(key, file);
    match plain(file).and_then(|()| store::read_secret(file, MOST_KEY)) {
        Ok(pem) => Some(pem),
        Err(error) => {
            let place = reader.place(key);
            reader.faults.add(place, key, format!("{}: {error}", file.display()), "name a PEM file that can be read");
            None
        }
    }
}

pub(super) fn line_of(text: &str) -> SecretString {
    SecretString::from(text.lines().next().unwrap_or_default())
}

/// Into a box of its very size: a string that is cut to it leaves a copy behind.
fn kept(text: &str) -> SecretString {
    SecretString::from(text)
}

/// A device or a pipe would be read without end.
fn plain(file: &Path) -> io::Result<()> {
    match std::fs::metadata(file)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is no plain file")),
    }
}

fn told(reader: &mut Reader, key: &str, file: &Path, text: io::Result<SecretString>) -> Option<SecretString> {
    reader.secret_file(key, file);
    let fault = match text {
        Ok(text) if text.expose_secret().is_empty() => "it is empty".to_owned(),
        Ok(text) => return Some(text),
        Err(fault) => fault.to_string(),
    };
    let place = reader.place(key);
    let fault = format!("{}: {fault}", file.display());
    reader.faults.add(place, key, fault, "name a file with the secret in its first line");
    None
}
