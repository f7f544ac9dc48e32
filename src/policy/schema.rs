//! The Cedar schema: three classes of actions, and a typed action for each transaction that a rule names as one.
//!
//! Typing every transaction of an M3 would cost seconds and a hundred megabytes; what no rule names has no fields.
//! Does not know: where layouts come from.

use super::context::number;
use super::declare::Facts;
use super::identity::pair_text;
use super::scope::class_name;
use crate::model::{
    ClaimKind, Effect, FieldKind, FieldName, ProgramName, TransactionLayout, TransactionName, is_export_query,
};
use cedar_policy::Schema;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The input fields of a transaction as the rules know them; none: nobody knew the layout.
pub(super) type Typed = BTreeMap<(ProgramName, TransactionName), Option<BTreeMap<FieldName, FieldKind>>>;

pub(super) fn fields(layout: &TransactionLayout) -> BTreeMap<FieldName, FieldKind> {
    layout.input.fields().iter().map(|field| (field.name, field.kind)).collect()
}

const HEAD: &str = "entity Group;
entity Client in [Group];
entity Program;
entity Transaction in [Program] { program: String, name: String, customer_made: Bool, technical: Bool };
";
const COMMON: &str = "company: Long, division: String, address: ipaddr, minute: Long, weekday: Long, local_minute: Long, \
local_weekday: Long, scopes: Set<String>, m3_user: String, claims:";

/// The claims that the settings let rules see.
pub(super) type Claims = BTreeMap<Box<str>, ClaimKind>;

/// The schema's text: also what a person may want to read.
pub(super) fn text(typed: &Typed, facts: &Facts, claims: &Claims) -> String {
    let mut text = HEAD.to_owned();
    let mut seen = String::from("{");
    for (claim, kind) in claims {
        let kind = match kind {
            ClaimKind::Text => "String",
            ClaimKind::Set => "Set<String>",
        };
        let _ = write!(seen, " \"{claim}\"?: {kind},");
    }
    seen.push_str(" }");
    let _ = writeln!(
        text,
        "type Common = {{ {COMMON} {seen} }};\naction read, write, raw appliesTo {{ principal: [Client], resource: \
         [Transaction], context: Common }};"
    );
    for ((program, transaction), fields) in typed {
        let class = class_name(Effect::of(*program, *transaction));
        let name = pair_text(*program, *transaction);
        // Names are letters, digits, `_`, `-` and `/`: nothing in them could end a quoted word.
        let _ = write!(
            text,
            "action \"{name}\" in [{class}] appliesTo {{ principal: [Client], resource: [Transaction], context: {{ {COMMON} \
             {seen}, cleared: Set<String>, fields: {{"
        );
        for (field, kind) in fields.iter().flatten() {
            let _ = write!(text, " \"{field}\"?: {},", cedars(*kind));
        }
        text.push_str(" }");
        // Of a record that is read every field is there, blank or not; one whose layout nobody knows is not asked for.
        if let Some(fact) = facts.get(&(*program, *transaction)).filter(|fact| fact.is_known()) {
            text.push_str(", record: {");
            for (field, kind) in fact.fields().filter_map(|field| Some((field, fact.kind(field)?))) {
                let _ = write!(text, " \"{field}\": {},", cedars(kind));
            }
            text.push_str(" }");
        }
        if fields.iter().flatten().any(|(field, _)| is_export_query(*program, field.as_str())) {
            text.push_str(", query: { table: String, columns: Set<String> }");
        }
        text.push_str(" } };\n");
    }
    text
}

fn cedars(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Alphanumeric | FieldKind::Date => "String",
        FieldKind::Number => number::TYPE,
    }
}

pub(super) fn schema(typed: &Typed, facts: &Facts, claims: &Claims) -> Result<Schema, String> {
    Schema::from_cedarschema_str(&text(typed, facts, claims)).map(|(schema, _)| schema).map_err(|why| why.to_string())
}
