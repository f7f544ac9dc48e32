//! What callers may rely on, as OpenAPI 3.1: the contract that holds for all, and a program as M3 tells it.
//!
//! The contract's text is `contract.json`; which problems a status stands for comes from the closed list of problems,
//! so that the document can't fall behind it. A program's paths come from its layouts, never from a list of ours.
//! Does not know: who may call what; it describes what it is handed.

mod program;
#[cfg(test)]
mod tests;

use super::problem::Kind;
use crate::model::{ProgramName, TransactionLayout};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const CONTRACT: &str = include_str!("contract.json");
/// In the contract's text: the statuses of problems that an operation may answer.
const PROBLEMS: &str = "x-problems";

#[derive(Debug)]
pub(super) struct OpenApi {
    /// The contract as it is served.
    text: Bytes,
    /// What the document of a program has in common with it.
    frame: Map<String, Value>,
}

impl OpenApi {
    /// `address`: scheme, host and port that callers use. `issues`: the gateway has an issuer of its own.
    pub(super) fn new(address: &str, issues: bool) -> Self {
        // The text is part of the build, and a test reads it.
        let mut contract: Value = serde_json::from_str(CONTRACT).unwrap_or_default();
        contract["info"]["version"] = env!("CARGO_PKG_VERSION").into();
        contract["servers"] = json!([{ "url": address }]);
        contract["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["tokenUrl"] =
            format!("{address}/oauth2/token").into();
        if !issues {
            without_issuer(&mut contract);
        }
        let told = tell_problems(&mut contract);
        if let Some(responses) = contract["components"]["responses"].as_object_mut() {
            responses.extend(told);
        }
        let text = Bytes::from(contract.to_string());
        let Value::Object(mut frame) = contract else { return Self { text, frame: Map::new() } };
        frame.remove("paths");
        frame.remove("tags");
        Self { text, frame }
    }

    pub(super) fn contract(&self) -> Bytes {
        self.text.clone()
    }

    /// One path a transaction.
    pub(super) fn of_program(&self, program: ProgramName, layouts: &[Arc<TransactionLayout>]) -> Value {
        let mut told = self.frame.clone();
        told.insert("info".to_owned(), program::info(program, &self.frame));
        let paths = layouts.iter().map(|layout| program::path(layout)).collect();
        told.insert("paths".to_owned(), Value::Object(paths));
        Value::Object(told)
    }
}

/// Tokens come from elsewhere, and nothing of an issuer is served.
fn without_issuer(contract: &mut Value) {
    if let Some(paths) = contract["paths"].as_object_mut() {
        paths.retain(|path, _| !path.starts_with("/oauth2/") && path != "/.well-known/oauth-authorization-server");
    }
    if let Some(schemes) = contract["components"]["securitySchemes"].as_object_mut() {
        schemes.retain(|name, _| name == "bearer");
    }
    contract["security"] = json!([{ "bearer": [] }]);
    if let Some(tags) = contract["tags"].as_array_mut() {
        tags.retain(|tag| tag["name"] != "tokens");
    }
}

/// Each operation's statuses to responses; those that were named come back, to stand among the components.
fn tell_problems(contract: &mut Value) -> Map<String, Value> {
    let kinds = by_status();
    let mut named = Map::new();
    let Some(paths) = contract["paths"].as_object_mut() else { return named };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in operations {
        // Of the edge, before there is a request to have a problem with.
        operation["responses"]["431"] = json!({ "$ref": "#/components/responses/HeadTooLarge" });
        let statuses = operation.as_object_mut().and_then(|operation| operation.remove(PROBLEMS)).unwrap_or_default();
        for status in statuses.as_array().into_iter().flatten().filter_map(Value::as_u64) {
            let Some((codes, told)) = kinds.get(&status) else { continue };
            let name = format!("Problem{status}");
            let schema = schema(codes);
            let responses = &mut operation["responses"];
            match responses.get_mut(status.to_string()) {
                // The status has another shape as well: this one stands beside it.
                Some(held) => held["content"]["application/problem+json"] = schema,
                None => {
                    responses[status.to_string()] = json!({ "$ref": format!("#/components/responses/{name}") });
                    named.entry(name).or_insert_with(|| response(status, told, &schema));
                }
            }
        }
    }
    named
}

/// The codes of each status, and their titles in a sentence.
fn by_status() -> BTreeMap<u64, (Vec<&'static str>, String)> {
    let mut kinds: BTreeMap<u64, (Vec<&'static str>, String)> = BTreeMap::new();
    for kind in Kind::ALL {
        let (code, title, _) = kind.words();
        let (codes, told) = kinds.entry(u64::from(kind.status().as_u16())).or_default();
        codes.push(code);
        told.push_str(&format!("{}`{code}`: {title}.", if told.is_empty() { "" } else { " " }));
    }
    kinds
}

fn schema(codes: &[&str]) -> Value {
    let code = json!({ "type": "object", "properties": { "code": { "enum": codes } } });
    json!({ "schema": { "allOf": [{ "$ref": "#/components/schemas/Problem" }, code] } })
}

fn response(status: u64, told: &str, schema: &Value) -> Value {
    let header = |name: &str| json!({ name: { "$ref": format!("#/components/headers/{name}") } });
    let mut response = json!({ "description": told, "content": { "application/problem+json": schema } });
    match status {
        401 => response["headers"] = header("WWW-Authenticate"),
        405 => response["headers"] = header("Allow"),
        409 | 429 | 503 => response["headers"] = header("Retry-After"),
        _ => {}
    }
    response
}
