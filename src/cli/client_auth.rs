//! How a client without a secret proves itself: what is registered of it, and what it signs.

use super::args;
use super::failure::Failure;
use super::state::secret;
use crate::auth::ClientKeys;
use crate::edge::client_certificate;
use crate::issuer::Authentication;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use std::path::Path;
use uuid::Uuid;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Long enough for one request.
const SECONDS: u64 = 60;

/// What `client add` registers.
pub(super) fn authentication(method: &str, shows: &args::ClientShows) -> Result<Authentication, Failure> {
    let shown = shown(shows)?.unwrap_or_default();
    if shown.method() == method {
        return Ok(shown);
    }
    let needs = match method {
        "private_key_jwt" => "--jwks",
        "tls_client_auth" => "--subject or --dns",
        "self_signed_tls_client_auth" => "--certificate",
        _ => "no key and no certificate: give --auth, too",
    };
    Err(Failure::begin(format!("--auth {method} needs {needs}")))
}

pub(super) fn shown(shows: &args::ClientShows) -> Result<Option<Authentication>, Failure> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| Failure::begin(format!("{}: {error}", path.display())));
    Ok(if let Some(path) = &shows.jwks {
        let keys = ClientKeys::parse(&read(path)?);
        Some(Authentication::PrivateKeyJwt(
            keys.map_err(|error| Failure::begin(format!("--jwks {}: {error}", path.display())))?,
        ))
    } else if let Some(subject) = &shows.subject {
        Some(Authentication::TlsSubject(subject.as_str().into()))
    } else if let Some(name) = &shows.dns {
        Some(Authentication::TlsDns(name.as_str().into()))
    } else if let Some(path) = &shows.certificate {
        let certificate = client_certificate(&read(path)?, &path.display().to_string());
        let certificate = certificate.map_err(|error| Failure::begin(format!("--certificate: {error}")))?;
        Some(Authentication::SelfSigned(certificate.thumbprint))
    } else {
        None
    })
}

/// Says who asks, to this token endpoint, once (RFC 7523).
pub(super) fn assertion(key: &Path, client: &str, audience: &str, now: u64) -> Result<String, Failure> {
    let signer = signer(key, "--key")?;
    let claims = json!({
        "iss": client, "sub": client, "aud": audience, "jti": Uuid::new_v4().to_string(), "iat": now, "exp": now + SECONDS,
    });
    let signed = jsonwebtoken::encode(&Header::new(signer.algorithm), &claims, &signer.key);
    signed.map_err(|_| Failure::begin(format!("--key {}: {UNFIT}", key.display())))
}

/// A private key and how it signs.
pub(super) struct Signer {
    pub(super) key: EncodingKey,
    pub(super) algorithm: Algorithm,
}

const UNFIT: &str = "give an RSA, P-256, P-384 or Ed25519 key in PEM, EC keys as PKCS#8";

/// `word`: of the command line, for faults.
pub(super) fn signer(key: &Path, word: &str) -> Result<Signer, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::begin(format!("{word} {}: {why}", key.display()));
    let pem = secret(key)?;
    let read = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| wrong(&"it holds no private key in PEM"))?;
    let signing = any_supported_type(&read).map_err(|_| wrong(&UNFIT))?;
    let kinds = [
        (SignatureScheme::ECDSA_NISTP256_SHA256, Algorithm::ES256),
        (SignatureScheme::ECDSA_NISTP384_SHA384, Algorithm::ES384),
        (SignatureScheme::ED25519, Algorithm::EdDSA),
        (SignatureScheme::RSA_PKCS1_SHA256, Algorithm::RS256),
    ];
    let of = kinds.into_iter().find(|(scheme, _)| signing.choose_scheme(&[*scheme]).is_some());
    let (_, algorithm) = of.ok_or_else(|| wrong(&UNFIT))?;
    let encoding = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem),
        _ => EncodingKey::from_ec_pem(&pem),
    };
    encoding.map(|key| Signer { key, algorithm }).map_err(|_| wrong(&UNFIT))
}
