//! From an ask to Cedar's context, and to the key under which the decision is remembered.
//!
//! Both hold exactly what the rules read, and nothing else.
//! Invariant: two asks with the same key have the same context.

use super::ask::{Ask, Asker};
use super::fact::Fact;
use super::reads::Reads;
use super::record;
use super::zones::{Local, Zones};
use crate::model::{Claim, ClaimValue, Export, FieldKind, FieldName, Place, Value, is_export_query};
use cedar_policy::{Context, RestrictedExpression as Expression};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What can't be put before a rule, or an attribute that Cedar refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    Field(FieldName),
    /// The place has no zone.
    Local,
    Context,
}

/// The kinds of the fields as the rules were checked against them.
pub(super) type Kinds = BTreeMap<FieldName, FieldKind>;

pub(super) fn utc(unix_seconds: u64) -> Local {
    Local::of(i64::try_from(unix_seconds).unwrap_or(i64::MAX))
}

fn given<'a>(ask: &Ask<'a>, name: FieldName) -> Option<&'a Value> {
    let at = ask.layout.input.position(name)?;
    ask.inputs.iter().find(|input| usize::from(input.at) == at).map(|input| &input.value)
}

/// Names of the fields that are to be blanked.
fn cleared<'a>(ask: &'a Ask<'_>) -> impl Iterator<Item = FieldName> + 'a {
    ask.inputs
        .iter()
        .filter(|input| input.value == Value::Cleared)
        .filter_map(|input| ask.layout.input.fields().get(usize::from(input.at)).map(|field| field.name))
}

pub(super) fn context(
    reads: &Reads,
    kinds: &Kinds,
    typed: bool,
    fact: Option<&Fact>,
    ask: &Ask<'_>,
    place: Place,
    zones: &Zones,
) -> Result<Context, Unfit> {
    let local = match reads.local_time() {
        true => zones.local(ask.clock(place), ask.unix_seconds).ok_or(Unfit::Local)?,
        false => Local::of(0),
    };
    let mut pairs: Vec<(String, Expression)> = Vec::with_capacity(8);
    let mut add = |bit: u16, name: &str, value: &dyn Fn() -> Expression| {
        if reads.has(bit) {
            pairs.push((name.to_owned(), value()));
        }
    };
    add(Reads::COMPANY, "company", &|| Expression::new_long(place.company.number().into()));
    add(Reads::DIVISION, "division", &|| Expression::new_string(place.division.to_string()));
    add(Reads::ADDRESS, "address", &|| Expression::new_ip(ask.address.to_canonical().to_string()));
    add(Reads::MINUTE, "minute", &|| Expression::new_long(utc(ask.unix_seconds).minute));
    add(Reads::WEEKDAY, "weekday", &|| Expression::new_long(utc(ask.unix_seconds).weekday));
    add(Reads::LOCAL_MINUTE, "local_minute", &|| Expression::new_long(local.minute));
    add(Reads::LOCAL_WEEKDAY, "local_weekday", &|| Expression::new_long(local.weekday));
    add(Reads::SCOPES, "scopes", &|| texts(ask.asker.scopes));
    add(Reads::M3_USER, "m3_user", &|| Expression::new_string(ask.m3_user.to_string()));
    if reads.has(Reads::CLAIMS) {
        pairs.push(("claims".to_owned(), claims(reads, ask.asker.claims)?));
    }
    let mut add = |bit: u16, name: &str, value: &dyn Fn() -> Expression| {
        if reads.has(bit) {
            pairs.push((name.to_owned(), value()));
        }
    };
    if typed {
        add(Reads::CLEARED, "cleared", &|| {
            Expression::new_set(cleared(ask).map(|name| Expression::new_string(name.to_string())))
        });
        let mut fields = Vec::new();
        for name in &reads.fields {
            if let Some(value) = field(*name, kinds, ask)? {
                fields.push((name.to_string(), value));
            }
        }
        pairs.push(("fields".to_owned(), Expression::new_record(fields).map_err(|_| Unfit::Context)?));
    }
    if let (true, Some(fact)) = (typed && reads.has(Reads::RECORD), fact) {
        pairs.extend(of_record(reads, fact, ask)?.map(|record| ("record".to_owned(), record)));
    }
    if let Some(field) = query_field(ask).filter(|_| typed && reads.has(Reads::QUERY)) {
        pairs.push(("query".to_owned(), query(ask, field)?));
    }
    Context::from_pairs(pairs).map_err(|_| Unfit::Context)
}

/// Nothing where no record was read: then no rule that looks at one is asked.
fn of_record(reads: &Reads, fact: &Fact, ask: &Ask<'_>) -> Result<Option<Expression>, Unfit> {
    let Some(values) = record::told(Some(fact), ask) else { return Ok(None) };
    let mut pairs = Vec::with_capacity(reads.record.len());
    for name in &reads.record {
        let Some(text) = values.of(*name) else { continue };
        let value = match fact.kind(*name) {
            Some(FieldKind::Number) => Expression::new_decimal(number::comparable(text).ok_or(Unfit::Field(*name))?),
            Some(FieldKind::Alphanumeric | FieldKind::Date) => Expression::new_string(text.to_owned()),
            None => return Err(Unfit::Field(*name)),
        };
        pairs.push((name.to_string(), value));
    }
    Expression::new_record(pairs).map(Some).map_err(|_| Unfit::Context)
}

/// The field that holds a query over any table.
fn query_field(ask: &Ask<'_>) -> Option<FieldName> {
    let fields = ask.layout.input.fields().iter().map(|field| field.name);
    fields.into_iter().find(|name| is_export_query(ask.program, name.as_str()))
}

fn query(ask: &Ask<'_>, field: FieldName) -> Result<Expression, Unfit> {
    let export = given(ask, field).and_then(Export::of).ok_or(Unfit::Field(field))?;
    let columns = Expression::new_set(export.columns.into_iter().map(Expression::new_string));
    let pairs = [("table".to_owned(), Expression::new_string(export.table)), ("columns".to_owned(), columns)];
    Expression::new_record(pairs).map_err(|_| Unfit::Context)
}

/// What the rules see when only names are known.
pub(super) fn context_by_name(reads: &Reads, scopes: &[Box<str>], given: &[Claim]) -> Result<Context, Unfit> {
    let mut pairs = Vec::new();
    if reads.has(Reads::SCOPES) {
        pairs.push(("scopes".to_owned(), texts(scopes)));
    }
    if reads.has(Reads::CLAIMS) {
        pairs.push(("claims".to_owned(), claims(reads, given)?));
    }
    Context::from_pairs(pairs).map_err(|_| Unfit::Context)
}

fn texts(texts: &[Box<str>]) -> Expression {
    Expression::new_set(texts.iter().map(|text| Expression::new_string(text.to_string())))
}

/// Those that some rule asks for; one that the token doesn't have is not there.
fn claims(reads: &Reads, has: &[Claim]) -> Result<Expression, Unfit> {
    let read = has.iter().filter(|claim| reads.claims.contains(&*claim.name));
    let pairs = read.map(|claim| {
        let value = match &claim.value {
            ClaimValue::Text(text) => Expression::new_string(text.to_string()),
            ClaimValue::Set(set) => texts(set),
        };
        (claim.name.to_string(), value)
    });
    Expression::new_record(pairs).map_err(|_| Unfit::Context)
}

fn field(name: FieldName, kinds: &Kinds, ask: &Ask<'_>) -> Result<Option<Expression>, Unfit> {
    match (kinds.get(&name), given(ask, name)) {
        (_, None | Some(Value::Cleared)) => Ok(None),
        (Some(FieldKind::Number), Some(Value::Number(digits))) => {
            number::comparable(digits).map(|n| Some(Expression::new_decimal(n))).ok_or(Unfit::Field(name))
        }
        (Some(FieldKind::Alphanumeric), Some(Value::Text(text))) | (Some(FieldKind::Date), Some(Value::Date(text))) => {
            Ok(Some(Expression::new_string(text.to_string())))
        }
        // M3 changed the field's kind since the rules were checked.
        (_, Some(Value::Text(_) | Value::Number(_) | Value::Date(_))) => Err(Unfit::Field(name)),
    }
}

/// Adds what the rules read. Every part has a length or a fixed size, so no two asks share a key by accident.
pub(super) fn key(
    reads: &Reads,
    typed: bool,
    fact: Option<&Fact>,
    ask: &Ask<'_>,
    place: Place,
    zones: &Zones,
    key: &mut Vec<u8>,
) {
    if reads.has(Reads::COMPANY) {
        key.extend(place.company.number().to_le_bytes());
    }
    if reads.has(Reads::DIVISION) {
        text(place.division.as_str(), key);
    }
    if reads.has(Reads::ADDRESS) {
        match ask.address.to_canonical() {
            IpAddr::V4(address) => key.extend(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => key.extend(address.octets()),
        }
    }
    if reads.has(Reads::MINUTE) {
        key.extend(utc(ask.unix_seconds).minute.to_le_bytes());
    }
    if reads.has(Reads::WEEKDAY) {
        key.extend(utc(ask.unix_seconds).weekday.to_le_bytes());
    }
    if reads.local_time() {
        match zones.local(ask.clock(place), ask.unix_seconds) {
            Some(local) => {
                key.push(1);
                key.extend(local.minute.to_le_bytes());
                key.extend(local.weekday.to_le_bytes());
            }
            None => key.push(0),
        }
    }
    key_by_token(reads, ask.asker, key);
    if reads.has(Reads::M3_USER) {
        text(ask.m3_user.as_str(), key);
    }
    if typed && reads.has(Reads::CLEARED) {
        cleared(ask).for_each(|name| text(name.as_str(), key));
        key.push(0xff);
    }
    if reads.has(Reads::QUERY) {
        text(query_field(ask).and_then(|field| given(ask, field)).map_or("", Value::as_str), key);
    }
    record::key(reads, fact, ask, |value| match value {
        None => key.push(0),
        Some(value) => {
            key.push(1);
            text(value, key);
        }
    });
    for name in &reads.fields {
        let Some(value) = given(ask, *name) else {
            key.push(0);
            continue;
        };
        key.push(match value {
            Value::Text(_) => 1,
            Value::Number(_) => 2,
            Value::Date(_) => 3,
            Value::Cleared => 4,
        });
        text(value.as_str(), key);
    }
}

/// What is read of the token itself.
pub(super) fn key_by_token(reads: &Reads, asker: Asker<'_>, key: &mut Vec<u8>) {
    let list = |texts: &[Box<str>], key: &mut Vec<u8>| {
        key.extend((texts.len() as u64).to_le_bytes());
        texts.iter().for_each(|one| text(one, key));
    };
    if reads.has(Reads::SCOPES) {
        list(asker.scopes, key);
    }
    for name in &reads.claims {
        match asker.claims.iter().find(|claim| *claim.name == **name) {
            None => key.push(0),
            Some(claim) => {
                key.push(if matches!(claim.value, ClaimValue::Text(_)) { 1 } else { 2 });
                list(claim.texts(), key);
            }
        }
    }
}

fn text(text: &str, key: &mut Vec<u8>) {
    key.extend((text.len() as u64).to_le_bytes());
    key.extend(text.as_bytes());
}

/// Numbers as Cedar's decimals: at most four decimals, 64 bits in all.
pub(super) mod number {
    pub(in super::super) const TYPE: &str = "decimal";

    /// The decimal's text, or nothing when it can't hold the number.
    pub(in super::super) fn comparable(digits: &str) -> Option<String> {
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        if part.len() > 4 {
            return None;
        }
        let scaled: i64 = format!("{whole}{part:0<4}").parse().ok()?;
        let _ = scaled;
        Some(format!("{whole}.{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fits_or_is_refused_but_never_rounded() {
        for (digits, expected) in [
            ("100", Some("100.0")),
            ("-12.5", Some("-12.5")),
            ("0.1234", Some("0.1234")),
            ("0.12345", None),
            ("922337203685477.5807", Some("922337203685477.5807")),
            ("922337203685477.5808", None),
            ("99999999999999999", None),
        ] {
            assert_eq!(number::comparable(digits).as_deref(), expected, "{digits}");
        }
    }

    #[test]
    fn the_first_day_of_1970_was_a_thursday() {
        assert_eq!(utc(0), Local { weekday: 4, minute: 0 });
        assert_eq!((utc(4 * 86_400).weekday, utc(86_399).minute), (1, 1439));
    }
}
