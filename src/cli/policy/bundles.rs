//! `policy keygen`, `bundle`, `sign`, `verify`: a set as one file that those who answer for it have signed.

use super::super::args;
use super::super::failure::Failure;
use super::super::show;
use super::super::state::secret;
use super::Bench;
use super::check::findings;
use crate::clock::unix_seconds;
use crate::policies::{self, BundleFault, KeyFault, Manifest, SigningKey, Trust, TrustedKey};
use crate::policy::Severity;
use crate::store::write_private;
use jiff::Timestamp;
use serde_json::json;
use std::fmt::Display;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn failed(path: &Path, why: impl Display) -> Failure {
    Failure::begin(format!("{}: {why}", path.display()))
}

/// The private half into the file, the public half beside it.
pub(super) fn keygen(out: &Path) -> Result<ExitCode, Failure> {
    let key = SigningKey::make(out).map_err(|why: KeyFault| failed(out, why))?;
    let mut beside = out.as_os_str().to_owned();
    beside.push(".pub");
    let beside = PathBuf::from(beside);
    fs::write(&beside, key.public().pem()).map_err(|why| failed(&beside, why))?;
    show::line(key.public().id().as_str());
    show::note(&format!(
        "{} signs policies: keep it where no gateway runs. Gateways get {} in policy.trusted_keys.",
        out.display(),
        beside.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    SigningKey::parse(&secret(path)?).map_err(|why| failed(path, why))
}

/// A set that is wrong is not given out, unless somebody says so.
pub(super) fn bundle(bench: &Bench, words: &args::PolicyBundle) -> Result<ExitCode, Failure> {
    let (findings, _) = findings(bench, &words.dir)?;
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if !errors.is_empty() && !words.force {
        errors.iter().for_each(|finding| show::fault(&format!("{}", finding.fault)));
        return Err(Failure::on_the_way(format!(
            "{} of {} keep it from being given out; see `mi-gateway policy check`, or say --force",
            errors.len(),
            words.dir.display()
        )));
    }
    let files = policies::read(&words.dir).map_err(|why| failed(&words.dir, why))?;
    let fault = |why: BundleFault| failed(&words.dir, why);
    let mut bytes = policies::pack(&files).map_err(fault)?;
    for key in &words.key {
        bytes = policies::sign(&bytes, &signing_key(key)?).map_err(fault)?;
    }
    replace(&words.out, &bytes)?;
    verify(&Trust::default(), &words.out, false)
}

pub(super) fn sign(words: &args::PolicySign) -> Result<ExitCode, Failure> {
    let bytes = fs::read(&words.bundle).map_err(|why| failed(&words.bundle, why))?;
    // Whoever signs a set knows that it is one.
    policies::open_bundle(bytes.clone(), &Trust::default()).map_err(|why| failed(&words.bundle, why))?;
    let signed = policies::sign(&bytes, &signing_key(&words.key)?).map_err(|why| failed(&words.bundle, why))?;
    replace(&words.bundle, &signed)?;
    verify(&Trust::default(), &words.bundle, false)
}

/// Moved into its place whole: a gateway may be looking at it, as another user than whoever signs.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = write_private(path, bytes).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o644)));
    written.map_err(|why| failed(path, why))
}

/// By the keys that are given, else by those of the settings.
pub(super) fn verify_with(trust: &Trust, words: &args::PolicyVerify) -> Result<ExitCode, Failure> {
    if words.key.is_empty() {
        return verify(trust, &words.bundle, words.json);
    }
    let mut keys = Vec::new();
    for path in &words.key {
        let pem = fs::read(path).map_err(|why| failed(path, why))?;
        keys.push(TrustedKey::parse(&pem).map_err(|why| failed(path, why))?);
    }
    let signatures = words.signatures.unwrap_or(1);
    verify(&Trust { keys, signatures }, &words.bundle, words.json)
}

fn verify(trust: &Trust, path: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let bytes = fs::read(path).map_err(|why| failed(path, why))?;
    let by = signers_named(&bytes);
    let files =
        policies::open_bundle(bytes, trust).map_err(|why| Failure::on_the_way(format!("{}: {why}", path.display())))?;
    let manifest = files.manifest.as_ref().and_then(|source| Manifest::parse(source).ok()).unwrap_or_default();
    let over = manifest.is_over(unix_seconds());
    let expires = manifest.expires_at.and_then(|end| i64::try_from(end).ok()?.checked_sub(1));
    let expires =
        expires.and_then(|last| Timestamp::from_second(last).ok()).map(|last| last.strftime("%F").to_string());
    let names: Vec<&str> = files.all().map(|source| source.name.as_str()).collect();
    if as_json {
        let shown = json!({ "name": manifest.name, "version": manifest.version, "owner": manifest.owner,
            "expires": expires, "over": over, "signed_by": by, "trusted": trust.is_asked(), "files": names });
        show::line(&shown.to_string());
    } else {
        let until = expires.map(|day| format!(", until {day}")).unwrap_or_default();
        show::line(&format!("{} version {}{until}", manifest.name, manifest.version));
        show::line(&format!("signed by {}", if by.is_empty() { "nobody".to_owned() } else { by.join(", ") }));
        show::line(&format!("{} files: {}", names.len(), names.join(", ")));
        if !trust.is_asked() {
            show::note("No keys were named, so no signature was checked: give --key, or policy.trusted_keys.");
        }
        if over {
            show::note("Its last day is over: no gateway takes it up.");
        }
    }
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// As the file says; whether it is true is another question.
fn signers_named(bytes: &[u8]) -> Vec<String> {
    let head = bytes.split(|b| *b == b'\n').skip(1).take_while(|line| !line.is_empty());
    let ids = head.filter_map(|line| std::str::from_utf8(line).ok()?.split(' ').next().map(str::to_owned));
    ids.take(8).collect()
}
