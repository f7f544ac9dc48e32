//! Issuers of others whose tokens are trusted, and what is known here of their clients.

use super::keys::{flag, needed, path};
use super::m3::readable;
use super::reader::Reader;
use super::settings::{Foreign, ForeignClient};
use crate::auth::Algorithm;
use crate::model::{ClientId, Company, Division, Language, M3User, Standing, TenantId};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub(super) fn issuers(reader: &mut Reader) -> Vec<Foreign> {
    let mut issuers = Vec::new();
    for at in reader.below("issuers") {
        let key = |name: &str| format!("issuers.{at}.{name}");
        let issuer = needed(reader, &key("issuer"), "the issuer's name, exactly as its tokens say it");
        let jwks = needed(reader, &key("jwks"), "the URL of the issuer's keys");
        let audience = needed(reader, &key("audience"), "the audience that its tokens must name");
        let right = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";
        let algorithms = reader.many(&key("algorithms"), right, Algorithm::parse);
        let client_claim =
            reader.one(&key("client_claim"), "the name of a claim", |text| (!text.is_empty()).then(|| text.to_owned()));
        let roots = authorities(reader, &key("ca"));
        let access_token_type = flag(reader, &key("access_token_type")).unwrap_or(true);
        if let (Some(issuer), Some(jwks), Some(audience)) = (issuer, jwks, audience) {
            issuers.push(Foreign {
                issuer,
                jwks,
                audience,
                algorithms: algorithms.unwrap_or_else(|| vec![Algorithm::Rs256, Algorithm::Es256]),
                client_claim,
                access_token_type,
                roots,
            });
        }
    }
    issuers
}

/// Clients of the issuers above; those of the embedded issuer are registered with `client add`.
pub(super) fn clients(reader: &mut Reader, issuers: &[Foreign]) -> Vec<ForeignClient> {
    let mut clients = Vec::new();
    for at in reader.below("clients") {
        let key = |name: &str| format!("clients.{at}.{name}");
        let issuer = needed(reader, &key("issuer"), "the issuer of the client's tokens");
        let id = needed(reader, &key("id"), "the client's id at its issuer");
        let tenant =
            reader.one(&key("tenant"), "a tenant: letters, digits, _ and -", |text| TenantId::parse(text).ok());
        let groups = reader.many(&key("groups"), "group names", |text| Some(text.to_owned())).unwrap_or_default();
        let standing = standing(reader, &key);
        if let Some(issuer) = issuer.as_ref().filter(|issuer| !issuers.iter().any(|known| known.issuer == **issuer)) {
            let place = reader.place(&key("issuer"));
            let hint = "name it exactly as its [[issuers]] does; clients of the embedded issuer come by `client add`";
            reader.faults.add(place, key("issuer"), format!("{issuer} is none of issuers"), hint);
        }
        if let (Some(issuer), Some(id)) = (issuer, id) {
            let client = ClientId { issuer: issuer.into(), id: id.into() };
            clients.push(ForeignClient { client, tenant, groups, standing });
        }
    }
    clients
}

/// Who the client is to M3.
fn standing(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Standing {
    const USER: &str = "an M3 user: A-Z, 0-9 and _, at most 10";
    const COMPANY: &str = "a company, 1 to 999";
    const DIVISION: &str = "a division of at most three characters";
    let user = |text: &str| M3User::parse(text).ok();
    let (company, division) = (|text: &str| Company::parse(text).ok(), |text: &str| Division::parse(text).ok());
    Standing {
        user: reader.one(&key("m3_user"), USER, user),
        company: reader.one(&key("company"), COMPANY, company),
        division: reader.one(&key("division"), DIVISION, division),
        language: reader.one(&key("language"), "a language like GB", |text| Language::parse(text).ok()),
        companies: reader.many(&key("companies"), COMPANY, company).unwrap_or_default(),
        divisions: reader.many(&key("divisions"), DIVISION, division).unwrap_or_default(),
        run_as: reader.many(&key("run_as"), USER, user).unwrap_or_default(),
    }
}

/// The certificates of a PEM file; an authority that can't be read is a fault, never an authority less.
fn authorities(reader: &mut Reader, key: &str) -> Vec<CertificateDer<'static>> {
    let Some(pem) = path(reader, key).and_then(|file| readable(reader, key, &file)) else { return Vec::new() };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => certificates,
        _ => {
            let place = reader.place(key);
            reader.faults.add(place, key, "holds no certificate", "name a PEM file with the authority's certificate");
            Vec::new()
        }
    }
}
