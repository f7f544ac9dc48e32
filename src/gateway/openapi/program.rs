//! A program's transactions as paths of an OpenAPI document, with fields, types and lengths as M3 told them.

use crate::model::{Effect, FieldKind, FieldLayout, ProgramName, TransactionLayout};
use crate::translate::Continuation;
use serde_json::{Map, Value, json};

/// The options that make sense with every transaction; those of lists come on top.
const OPTIONS: &[&str] = &["cono", "divi", "dateformat", "excludeempty", "righttrim", "format", "extendedresult"];
const OF_LISTS: &[&str] = &["maxrecs"];
const OF_LISTS_THAT_GO_ON: &[&str] = &["cursor"];
const OF_WRITES: &[&str] = &["idempotencyKey"];
const STATUSES: &[u16] = &[401, 403, 404, 405, 409, 413, 414, 415, 422, 429, 500, 503, 504];

pub(super) fn info(program: ProgramName, frame: &Map<String, Value>) -> Value {
    let mut info = frame.get("info").cloned().unwrap_or_default();
    info["title"] = program.as_str().into();
    info["summary"] = format!("What this client may call of {program}, as M3 tells it.").into();
    info
}

pub(super) fn path(layout: &TransactionLayout) -> (String, Value) {
    let (program, name) = (layout.program, layout.name);
    let effect = Effect::of(program, name);
    let known = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let mut parameters: Vec<Value> = layout.input.fields().iter().map(input).collect();
    parameters.extend(columns(layout));
    parameters.extend(OPTIONS.iter().copied().map(known));
    if layout.multi {
        parameters.extend(OF_LISTS.iter().copied().map(known));
    }
    if Continuation::of(layout).is_some() {
        parameters.extend(OF_LISTS_THAT_GO_ON.iter().copied().map(known));
    }
    if effect.is_write() {
        parameters.extend(OF_WRITES.iter().copied().map(known));
    }
    let operation = json!({
        "operationId": format!("{program}_{name}"),
        "summary": &*layout.description,
        "description": format!("A {effect} in M3."),
        "x-mi-effect": effect.to_string(),
        "parameters": parameters,
        "responses": responses(layout),
    });
    (format!("/M3/m3api-rest/v2/execute/{program}/{name}"), json!({ "get": operation }))
}

/// Blank is as good as not sent, so a field that has to be sent has to be more than blank.
fn input(field: &FieldLayout) -> Value {
    const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
    let longest = usize::from(field.length);
    let text = match field.mandatory {
        true => format!("^[^{CONTROL}]*[^{CONTROL} ][^{CONTROL}]*$"),
        false => format!("^[^{CONTROL}]*$"),
    };
    let pattern = |whole: &str| if field.mandatory { format!("^({whole})$") } else { format!("^({whole})?$") };
    let schema = match field.kind {
        _ if field.name.as_str() == "CONO" => json!({ "type": "string", "pattern": "^([1-9][0-9]{0,2})?$" }),
        _ if field.name.as_str() == "DIVI" => json!({ "type": "string", "pattern": "^[A-Za-z0-9]{0,3}$" }),
        FieldKind::Alphanumeric => json!({ "type": "string", "maxLength": longest, "pattern": text }),
        FieldKind::Number => {
            json!({ "type": "string", "x-mi-digits": longest, "pattern": pattern(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)|\?") })
        }
        // Its form is the call's `dateformat`.
        FieldKind::Date => {
            json!({ "type": "string", "pattern": pattern(r"[0-9]{5,8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|0+|\?") })
        }
    };
    json!({
        "name": field.name.as_str(),
        "in": "query",
        "required": field.mandatory,
        "description": &*field.description,
        "schema": schema,
    })
}

/// `returncols` with the names that it may hold; a transaction that answers no fields has none.
fn columns(layout: &TransactionLayout) -> Option<Value> {
    let names: Vec<&str> = layout.output.fields().iter().map(|field| field.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        json!({
            "name": "returncols",
            "in": "query",
            "style": "form",
            "explode": false,
            "description": "Output fields that are wanted; all without it.",
            "schema": { "type": "array", "items": { "enum": names } },
        })
    })
}

fn responses(layout: &TransactionLayout) -> Value {
    let fields = layout.output.fields();
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_string(), output(field))).collect();
    let record = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let records = json!({ "type": "object", "properties": { "records": { "type": "array", "items": record } } });
    let result = json!({ "allOf": [{ "$ref": "#/components/schemas/ResultV2" }, records] });
    let results = json!({ "type": "object", "properties": { "results": { "type": "array", "items": result } } });
    let document = json!({ "schema": { "allOf": [{ "$ref": "#/components/schemas/DocumentV2" }, results] } });
    let lines = json!({ "schema": { "$ref": "#/components/schemas/Lines" } });
    let of = |description: &str| json!({ "description": description, "content": { "application/json": document, "application/x-ndjson": lines } });
    let mut told = json!({
        "200": of("Its records. `errorMessage` in the result is M3's own refusal (NOK)."),
        "202": of("M3 took the write and says nothing of it."),
        "400": of("The call itself is wrong; M3 was not asked."),
    });
    told["400"]["content"]["application/problem+json"] =
        json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    told["431"] = json!({ "$ref": "#/components/responses/HeadTooLarge" });
    for status in STATUSES {
        told[status.to_string()] = json!({ "$ref": format!("#/components/responses/Problem{status}") });
    }
    told
}

fn output(field: &FieldLayout) -> Value {
    json!({ "type": "string", "description": &*field.description, "x-mi-type": field.kind.letter().to_string() })
}
