//! Issuers of others whose tokens are trusted, and what is known here of their clients.

use super::keys::{flag, needed, number, path, require_bound, seconds, set};
use super::m3::readable;
use super::reader::Reader;
use super::secret::first_line;
use super::settings::{Foreign, ForeignClient, ForeignIntrospection};
use crate::auth::{Algorithm, CompanyRule};
use crate::model::{ClaimKind, ClientId, Company, Division, Language, M3User, Standing, TenantId};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::time::Duration;

const CLAIM: &str = "the name of a claim";
const POLICY_CLAIMS: &str = "claims, like department for a text or roles=set for a set of texts";
const TENANT: &str = "a tenant: letters, digits, _ and -";

pub(super) fn issuers(reader: &mut Reader) -> Vec<Foreign> {
    let mut issuers = Vec::new();
    for at in reader.below("issuers") {
        let key = |name: &str| format!("issuers.{at}.{name}");
        let issuer = needed(reader, &key("issuer"), "the issuer's name, exactly as its tokens say it");
        if !reader.has(&key("audience")) {
            let hint = "give the audience that its tokens must name, or a list of which they must name one";
            reader.faults.add("settings", key("audience"), "is missing", hint);
        }
        let audiences = reader.many(&key("audience"), "audiences", word).unwrap_or_default();
        let mut foreign = Foreign::new(issuer.as_deref().unwrap_or_default(), audiences);
        foreign.jwks = reader.one(&key("jwks"), "the https URL of the issuer's keys", word);
        let right = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";
        set(&mut foreign.algorithms, reader.many(&key("algorithms"), right, Algorithm::parse));
        set(&mut foreign.scopes, reader.many(&key("scopes"), "scopes", scope));
        set(&mut foreign.require_bound, require_bound(reader, &key("require_bound")));
        foreign.client_claim = reader.one(&key("client_claim"), CLAIM, word);
        set(&mut foreign.access_token_type, flag(reader, &key("access_token_type")));
        set(&mut foreign.leeway, number(reader, &key("leeway_seconds"), 0..=300));
        let tenant = |text: &str| TenantId::parse(text).ok();
        foreign.tenant = reader.one(&key("tenant"), TENANT, tenant);
        foreign.tenant_claim = reader.one(&key("tenant_claim"), CLAIM, word);
        let tenants = reader.many(&key("tenants"), "values and tenants, like VALUE=TENANT", |text| pair(text, tenant));
        foreign.tenants = tenants.unwrap_or_default().into_iter().collect();
        foreign.company = company(reader, &key);
        set(&mut foreign.policy_claims, reader.many(&key("policy_claims"), POLICY_CLAIMS, policy_claim));
        set(&mut foreign.stale, seconds(reader, &key("stale_seconds"), 60..=2_592_000));
        set(&mut foreign.allow_private, flag(reader, &key("allow_private")));
        foreign.introspection = introspection(reader, &key);
        foreign.roots = authorities(reader, &key("ca"));
        if foreign.jwks.is_none() && foreign.issuer.contains(['?', '#']) {
            let place = reader.place(&key("issuer"));
            reader.faults.add(place, key("issuer"), "has a query or a fragment", "give jwks: it can't be discovered");
        }
        if issuer.is_some() {
            issuers.push((key("introspection"), foreign));
        }
    }
    one_kind_each(reader, &issuers);
    // A token without a form does not say whose it is.
    for (key, _) in issuers.iter().filter(|(_, foreign)| foreign.introspection.is_some()).skip(1) {
        let hint = "let one issuer be asked about opaque tokens";
        reader.faults.add("settings", key, "is set for a second issuer", hint);
    }
    issuers.into_iter().map(|(_, foreign)| foreign).collect()
}

/// Who the gateway is to an issuer that it asks about tokens.
fn introspection(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<ForeignIntrospection> {
    let key = |name: &str| key(&format!("introspection.{name}"));
    let endpoint = reader.one(&key("endpoint"), "the https URL where tokens are asked about", word);
    let cap = seconds(reader, &key("cap_seconds"), 1..=3_600);
    let negative = seconds(reader, &key("negative_seconds"), 1..=300);
    let named = ["client_id", "secret_file"].map(|name| reader.has(&key(name)));
    let in_environment = reader.secret(&key("secret"));
    if named == [false, false] && in_environment.is_none() && endpoint.is_none() && cap.is_none() && negative.is_none()
    {
        // Asked for all the same, so that a misspelt key finds its neighbour.
        let _ = (reader.one(&key("client_id"), "", word), path(reader, &key("secret_file")));
        return None;
    }
    let client_id = needed(reader, &key("client_id"), "who the gateway is to the issuer");
    if !named[1] && in_environment.is_none() {
        reader.faults.add("settings", key("secret_file"), "is missing", "give the file with that client's secret");
    }
    let secret = path(reader, &key("secret_file")).and_then(|file| first_line(reader, &key("secret_file"), &file));
    let secret = secret.or(in_environment);
    Some(ForeignIntrospection {
        client_id: client_id?,
        secret: secret?,
        endpoint,
        cap: cap.unwrap_or(Duration::from_secs(60)),
        negative: negative.unwrap_or(Duration::from_secs(5)),
    })
}

/// The claim that binds clients to companies, and what its values mean.
fn company(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<CompanyRule> {
    let claim = reader.one(&key("company_claim"), CLAIM, word);
    let right = "values and companies, like VALUE=100";
    let companies = reader.many(&key("companies"), right, |text| pair(text, |number| Company::parse(number).ok()));
    if claim.is_none() && companies.is_some() {
        let place = reader.place(&key("companies"));
        reader.faults.add(place, key("company_claim"), "is missing", "name the claim whose values these are");
    }
    Some(CompanyRule { claim: claim?, companies: companies.unwrap_or_default().into_iter().collect() })
}

fn word(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `NAME`, `NAME=text` or `NAME=set`. The name stands in the rules' schema: nothing in it may end a quoted word.
fn policy_claim(text: &str) -> Option<(String, ClaimKind)> {
    let (name, kind) = match text.rsplit_once('=') {
        None => (text, ClaimKind::Text),
        Some((name, "text")) => (name, ClaimKind::Text),
        Some((name, "set")) => (name, ClaimKind::Set),
        Some(_) => return None,
    };
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    ((1..=128).contains(&name.len()) && name.bytes().all(good)).then(|| (name.to_owned(), kind))
}

/// Rules are checked once, for the clients of every issuer.
fn one_kind_each(reader: &mut Reader, issuers: &[(String, Foreign)]) {
    const MOST: usize = 64;
    let mut known: BTreeMap<&str, ClaimKind> = BTreeMap::new();
    for (name, kind) in issuers.iter().flat_map(|(_, foreign)| &foreign.policy_claims) {
        let other = known.insert(name, *kind).is_some_and(|before| before != *kind);
        if other {
            let message = format!("has the claim {name} as a text and as a set");
            reader.faults.add("settings", "issuers.policy_claims", message, "declare it as a set everywhere");
        }
    }
    if known.len() > MOST {
        let message = format!("has more than {MOST} claims");
        reader.faults.add("settings", "issuers.policy_claims", message, "name those that rules need");
    }
}

/// RFC 6749, 3.3.
pub(super) fn scope(text: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    (!text.is_empty() && text.bytes().all(good)).then(|| text.to_owned())
}

/// `VALUE=MEANING`; the value may have an equals sign of its own.
fn pair<T>(text: &str, meaning: impl Fn(&str) -> Option<T>) -> Option<(String, T)> {
    let (value, means) = text.rsplit_once('=')?;
    Some((word(value)?, meaning(means)?))
}

/// Clients of the issuers above; those of the embedded issuer are registered with `client add`.
pub(super) fn clients(reader: &mut Reader, issuers: &[Foreign]) -> Vec<ForeignClient> {
    let mut clients = Vec::new();
    for at in reader.below("clients") {
        let key = |name: &str| format!("clients.{at}.{name}");
        let issuer = needed(reader, &key("issuer"), "the issuer of the client's tokens");
        let id = needed(reader, &key("id"), "the client's id at its issuer");
        let tenant = reader.one(&key("tenant"), TENANT, |text| TenantId::parse(text).ok());
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
    const BOUND: &str = "divisions of one to three characters, and \"company\" for the company as a whole";
    let user = |text: &str| M3User::parse(text).ok();
    let bound = |text: &str| Standing::read_division(text).ok();
    let (company, division) = (|text: &str| Company::parse(text).ok(), |text: &str| Division::parse(text).ok());
    Standing {
        user: reader.one(&key("m3_user"), USER, user),
        company: reader.one(&key("company"), COMPANY, company),
        division: reader.one(&key("division"), DIVISION, division),
        language: reader.one(&key("language"), "a language like GB", |text| Language::parse(text).ok()),
        companies: reader.every(&key("companies"), COMPANY, company).unwrap_or_default(),
        divisions: reader.every(&key("divisions"), BOUND, bound).unwrap_or_default(),
        run_as: reader.many(&key("run_as"), USER, user).unwrap_or_default(),
        rid_is_key: flag(reader, &key("rid_is_key")).unwrap_or_default(),
    }
}

/// The certificates of a PEM file; an authority that can't be read is a fault, never an authority less.
pub(super) fn authorities(reader: &mut Reader, key: &str) -> Vec<CertificateDer<'static>> {
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
