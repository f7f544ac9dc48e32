//! Issuers of others and their clients: from what the settings say to what `auth` holds their tokens against.

use crate::auth::{ClientFacts, Directory, Introspection, IssuerRules, RemoteKeys, TypRule};
use crate::config::{Foreign, Settings};
use crate::outbound;
use aws_lc_rs::digest;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

pub(super) fn foreign_rules(foreign: &Foreign, state: &Path) -> IssuerRules {
    let mut keys = foreign.jwks.as_deref().map_or_else(RemoteKeys::discovered, RemoteKeys::at);
    keys.http = outbound::Settings {
        private_addresses: foreign.allow_private,
        loopback_http: foreign.allow_private,
        roots: foreign.roots.clone(),
        ..outbound::Settings::default()
    };
    keys.stale = foreign.stale;
    let introspection = foreign.introspection.as_ref().map(|told| Introspection {
        endpoint: told.endpoint.clone(),
        client_id: told.client_id.clone(),
        secret: told.secret.clone(),
        cap: told.cap,
        negative: told.negative,
        http: keys.http.clone(),
    });
    keys.discover |= introspection.as_ref().is_some_and(|asked| asked.endpoint.is_none());
    // By whose keys they are, not by where the issuer stands in the file: another one's must never be taken for his.
    let place = foreign.jwks.as_deref().unwrap_or_default();
    let whose = digest::digest(&digest::SHA256, format!("{}\0{place}", foreign.issuer).as_bytes());
    let name: String = whose.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    keys.saved = Some(state.join(format!("issuer-{name}-keys.json")));
    let mut rules = IssuerRules::remote(&foreign.issuer, foreign.audiences.clone(), keys);
    rules.algorithms.clone_from(&foreign.algorithms);
    rules.scopes.clone_from(&foreign.scopes);
    rules.require_bound = foreign.require_bound;
    rules.client_claim.clone_from(&foreign.client_claim);
    rules.typ = if foreign.access_token_type { TypRule::AccessToken } else { TypRule::Any };
    rules.introspection = introspection;
    rules.leeway = foreign.leeway;
    rules.tenant.clone_from(&foreign.tenant);
    if let Some(claim) = &foreign.tenant_claim {
        rules.tenant_claim.clone_from(claim);
    }
    rules.tenants.clone_from(&foreign.tenants);
    rules.company.clone_from(&foreign.company);
    let claims = foreign.policy_claims.iter();
    rules.policy_claims = claims.map(|(name, kind)| (name.as_str().into(), *kind)).collect();
    rules
}

pub(super) fn foreign_clients(settings: &Settings, directory: &Directory) {
    let mut parts: HashMap<&str, HashMap<Arc<str>, ClientFacts>> = HashMap::new();
    for client in &settings.clients {
        let facts = ClientFacts {
            groups: client.groups.iter().map(|group| group.as_str().into()).collect(),
            standing: Arc::new(client.standing.clone()),
            tenant: client.tenant.clone(),
            generation: 1,
            revoked: false,
        };
        parts.entry(&client.client.issuer).or_default().insert(client.client.id.clone(), facts);
    }
    for (issuer, clients) in parts {
        directory.replace(issuer, clients, HashSet::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::CompanyRule;
    use crate::auth::{Algorithm, KeySource, RequireBound, UnknownClients};
    use crate::config::ForeignIntrospection;
    use crate::model::{ClaimKind, Company, TenantId};
    use secrecy::{ExposeSecret, SecretString};
    use std::time::Duration;

    /// No field as it is by itself; a field that is new does not compile before it stands here.
    fn told() -> Foreign {
        let tenant = |text: &str| TenantId::parse(text).expect("a tenant");
        let company = Company::parse("200").expect("a company");
        Foreign {
            issuer: "https://login.example.com/".to_owned(),
            jwks: Some("https://login.example.com/keys".to_owned()),
            audiences: vec!["https://m3".to_owned(), "m3".to_owned()],
            algorithms: vec![Algorithm::Ps512],
            scopes: vec!["m3:all".to_owned()],
            require_bound: RequireBound::Key,
            client_claim: Some("cid".to_owned()),
            access_token_type: false,
            introspection: Some(ForeignIntrospection {
                client_id: "gateway".to_owned(),
                secret: SecretString::from("secret"),
                endpoint: Some("https://login.example.com/ask".to_owned()),
                cap: Duration::from_secs(7),
                negative: Duration::from_secs(3),
            }),
            leeway: 99,
            tenant: Some(tenant("ACME_PRD")),
            tenant_claim: Some("tid".to_owned()),
            tenants: [("a-b".to_owned(), tenant("ACME_TST"))].into(),
            company: Some(CompanyRule { claim: "co".to_owned(), companies: [("se".to_owned(), company)].into() }),
            policy_claims: vec![("department".to_owned(), ClaimKind::Text)],
            stale: Duration::from_secs(4_321),
            allow_private: true,
            roots: vec![vec![1, 2, 3].into()],
        }
    }

    #[test]
    fn what_the_settings_say_of_an_issuer_its_tokens_are_held_to() {
        let foreign = told();
        let rules = foreign_rules(&foreign, Path::new("/state"));
        let KeySource::Remote(keys) = rules.keys else { panic!("its keys are elsewhere") };
        assert_eq!((rules.issuer, rules.audiences), (foreign.issuer.clone(), foreign.audiences.clone()));
        assert_eq!((rules.algorithms, rules.scopes), (foreign.algorithms.clone(), foreign.scopes.clone()));
        assert_eq!((rules.require_bound, rules.typ), (RequireBound::Key, TypRule::Any));
        assert_eq!((rules.client_claim.as_deref(), rules.leeway), (Some("cid"), 99));
        assert_eq!((rules.tenant, rules.tenant_claim.as_str()), (foreign.tenant.clone(), "tid"));
        assert_eq!((rules.tenants, rules.company), (foreign.tenants.clone(), foreign.company.clone()));
        assert_eq!(rules.policy_claims, [("department".into(), ClaimKind::Text)]);
        assert_eq!(rules.unknown_clients, UnknownClients::Bare, "who is not named here has no groups and no user");
        let asked = rules.introspection.expect("it is asked");
        assert_eq!(
            (asked.endpoint.as_deref(), asked.client_id.as_str()),
            (Some("https://login.example.com/ask"), "gateway")
        );
        assert_eq!((asked.secret.expose_secret(), asked.cap.as_secs(), asked.negative.as_secs()), ("secret", 7, 3));
        assert_eq!((keys.url, keys.discover, keys.stale), (foreign.jwks.clone(), false, foreign.stale));
        assert!(keys.saved.is_some_and(|path| path.starts_with("/state")));
        for http in [keys.http, asked.http] {
            assert!(http.private_addresses && http.loopback_http, "somebody said so");
            assert_eq!(http.roots, foreign.roots);
        }
    }

    #[test]
    fn an_issuer_of_whom_nothing_is_said_is_public_and_marks_its_access_tokens() {
        let foreign = Foreign::new("https://login.example.com", vec!["m3".to_owned()]);
        let rules = foreign_rules(&foreign, Path::new("/state"));
        let KeySource::Remote(keys) = rules.keys else { panic!("its keys are elsewhere") };
        assert!(!keys.http.private_addresses && !keys.http.loopback_http);
        assert_eq!((keys.url, keys.discover, rules.typ), (None, true, TypRule::AccessToken));
        assert_eq!((rules.client_claim, rules.tenant, rules.tenant_claim.as_str()), (None, None, "Tenant"));
    }
}
