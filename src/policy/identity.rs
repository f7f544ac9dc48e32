//! How a client is written in a rule, and the names of Cedar's entities.
//!
//! `Client::"demo"` is the client `demo` of the gateway's own issuer, `Client::"demo@https://idp.example"` that of
//! another. In an id that holds them, `@` is written `%40` and `%` is written `%25`, so that the first `@` always
//! parts id and issuer: no two clients share a form.

use crate::model::{ClientId, ProgramName, TransactionName};
use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use std::sync::LazyLock;

/// The parsed type names; parsing them for each question would cost more than the question.
pub(super) struct Types {
    pub(super) client: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) program: EntityTypeName,
    pub(super) transaction: EntityTypeName,
    pub(super) action: EntityTypeName,
}

pub(super) static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let name = |text: &str| text.parse().expect("a type name written in this file");
    Types {
        client: name("Client"),
        group: name("Group"),
        program: name("Program"),
        transaction: name("Transaction"),
        action: name("Action"),
    }
});

pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

pub(super) fn action(id: &str) -> EntityUid {
    uid(&TYPES.action, id)
}

pub(super) fn program(program: ProgramName) -> EntityUid {
    uid(&TYPES.program, program.as_str())
}

pub(super) fn transaction(program: ProgramName, transaction: TransactionName) -> EntityUid {
    uid(&TYPES.transaction, &pair_text(program, transaction))
}

pub(super) fn pair_text(program: ProgramName, transaction: TransactionName) -> String {
    format!("{program}/{transaction}")
}

/// `CRS610MI/GetBasicData`, or nothing.
pub(super) fn pair(text: &str) -> Option<(ProgramName, TransactionName)> {
    let (program, transaction) = text.split_once('/')?;
    Some((ProgramName::parse(program).ok()?, TransactionName::parse(transaction).ok()?))
}

/// The client that a rule means.
pub(super) fn client(text: &str, local_issuer: &str) -> Option<ClientId> {
    let (id, issuer) = match text.split_once('@') {
        Some((id, issuer)) => (id, issuer),
        None => (text, local_issuer),
    };
    let id = decoded(id)?;
    if id.is_empty() || issuer.is_empty() {
        return None;
    }
    Some(ClientId { issuer: issuer.into(), id: id.into() })
}

fn decoded(id: &str) -> Option<String> {
    let mut out = String::with_capacity(id.len());
    let mut rest = id;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (sign, after) = match (after.strip_prefix("40"), after.strip_prefix("25")) {
            (Some(after), _) => ('@', after),
            (_, Some(after)) => ('%', after),
            (None, None) => return None,
        };
        out.push(sign);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// How a rule has to write this client: the one form, in which the local issuer is never written.
pub(super) fn text(client: &ClientId, local_issuer: &str) -> String {
    let id = client.id.replace('%', "%25").replace('@', "%40");
    if &*client.issuer == local_issuer { id } else { format!("{id}@{}", client.issuer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_client_has_a_form_of_its_own(id in "[a@%40~]{1,6}", issuer in "[ab@%]{1,4}") {
            let client = ClientId { issuer: issuer.as_str().into(), id: id.as_str().into() };
            for local in [issuer.as_str(), "https://here"] {
                prop_assert_eq!(super::client(&text(&client, local), local), Some(client.clone()));
            }
        }
    }

    #[test]
    fn the_same_id_of_two_issuers_is_two_clients() {
        let ours = client("demo", "https://here");
        let theirs = client("demo@https://idp.example", "https://here");
        assert!(ours.is_some() && theirs.is_some() && ours != theirs);
        assert_eq!(client("a%41b", "https://here"), None);
    }
}
