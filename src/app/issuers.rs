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
