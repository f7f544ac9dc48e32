//! A request of the execute contract: read into words, then typed by a layout.

use super::fault::{Fault, FaultKind};
use super::options::{OptionName, Options};
use super::path::{Target, TargetFault};
use super::query::{EncodingFault, decode, pairs};
use crate::model::{
    Company, DateForm, Division, Export, FieldLayout, FieldName, Input, Place, ProgramName, TransactionLayout,
    TransactionName, Value, ValueFault, is_export_query,
};
use std::borrow::Cow;

/// What the caller asked for, in M3's words, before any layout is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub program: ProgramName,
    pub transaction: TransactionName,
    pub options: Options,
    pub fields: Vec<(FieldName, String)>,
    /// Where a list is to go on (`_cursor`), as the caller had it from us.
    pub cursor: Option<String>,
    /// What the client calls this request (`_rid`).
    pub rid: Option<String>,
}

/// A request that can't be read; the caller's fault, always.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    #[error(transparent)]
    Target(#[from] TargetFault),
    #[error("{name}: {fault}")]
    Encoding { name: String, fault: EncodingFault },
    #[error("{name} is given twice; say it once, in the path or in the query")]
    Twice { name: String },
    #[error("{name:?} is neither an option (lower case) nor a field name (upper case letters and digits)")]
    Name { name: String },
    #[error("{name} is a field; those of a bulk call stand in the records of its body")]
    Field { name: String },
    #[error("the option {name} must be {right}")]
    Option { name: String, right: &'static str },
    #[error("the request has more than {MOST_PARAMETERS} parameters")]
    TooMany,
}

const MOST_PARAMETERS: usize = 1_000;
/// A refused name is repeated to the caller, but not at any length.
const SHOWN: usize = 40;

/// Reads what follows `execute/` and the query string.
pub fn read(tail: &str, query: Option<&str>) -> Result<Asked, RequestFault> {
    let target = Target::parse(tail)?;
    let mut asked = Asked {
        program: target.program,
        transaction: target.transaction,
        options: Options::default(),
        fields: vec![],
        cursor: None,
        rid: None,
    };
    let mut seen = Seen::default();
    for (name, value) in &target.matrix {
        take(&mut asked, &mut seen, name, value, false)?;
    }
    for (at, (name, value)) in pairs(query.unwrap_or_default()).enumerate() {
        if at == MOST_PARAMETERS {
            return Err(RequestFault::TooMany);
        }
        take(&mut asked, &mut seen, name, value, true)?;
    }
    Ok(asked)
}

/// The options of a call whose fields stand in its body; a field in its URL is refused.
pub(super) fn options_alone(matrix: &str, query: Option<&str>) -> Result<(Options, Vec<OptionName>), RequestFault> {
    let (mut options, mut seen) = (Options::default(), Seen::default());
    let of_query = pairs(query.unwrap_or_default()).map(|(name, value)| (name, value, true));
    let of_matrix = super::path::matrix(matrix)?.into_iter().map(|(name, value)| (name, value, false));
    for (at, (name, value, in_query)) in of_matrix.chain(of_query).enumerate() {
        if at == MOST_PARAMETERS {
            return Err(RequestFault::TooMany);
        }
        if let Some(field) = option(&mut options, &mut seen, name, value, in_query)? {
            return Err(RequestFault::Field { name: field.chars().take(SHOWN).collect() });
        }
    }
    Ok((options, seen.0))
}

/// Which options were already given; fields are looked for among the fields themselves.
#[derive(Default)]
struct Seen(Vec<OptionName>);

/// An option is set; the name of what is none comes back.
fn option<'a>(
    options: &mut Options,
    seen: &mut Seen,
    name: &'a str,
    value: &str,
    query: bool,
) -> Result<Option<Cow<'a, str>>, RequestFault> {
    let shown = || name.chars().take(SHOWN).collect::<String>();
    let encoding = |fault| RequestFault::Encoding { name: shown(), fault };
    let name = decode(name, query).map_err(encoding)?;
    // Cache busters and cursors of clients: `_rid=…`.
    if name.starts_with('_') {
        return Ok(None);
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(Some(name));
    }
    let Some(option) = OptionName::of(&name) else { return Ok(None) };
    if seen.0.contains(&option) {
        return Err(RequestFault::Twice { name: shown() });
    }
    seen.0.push(option);
    let value = decode(value, query).map_err(encoding)?;
    options.set(option, &value).map_err(|right| RequestFault::Option { name: shown(), right })?;
    Ok(None)
}

fn take(asked: &mut Asked, seen: &mut Seen, name: &str, value: &str, query: bool) -> Result<(), RequestFault> {
    if name == "_cursor" {
        let cursor = decode(value, query).map_err(|fault| RequestFault::Encoding { name: name.to_owned(), fault })?;
        return match asked.cursor.replace(cursor.into_owned()) {
            None => Ok(()),
            Some(_) => Err(RequestFault::Twice { name: name.to_owned() }),
        };
    }
    if name == "_rid" && asked.rid.is_none() {
        asked.rid = decode(value, query).ok().map(Cow::into_owned);
    }
    let Some(name) = option(&mut asked.options, seen, name, value, query)? else { return Ok(()) };
    let shown = || name.chars().take(SHOWN).collect::<String>();
    let encoding = |fault| RequestFault::Encoding { name: shown(), fault };
    let field = FieldName::parse(&name).map_err(|_| RequestFault::Name { name: shown() })?;
    if asked.fields.iter().any(|(known, _)| *known == field) {
        return Err(RequestFault::Twice { name: shown() });
    }
    let value = decode(value, query).map_err(encoding)?;
    asked.fields.push((field, value.into_owned()));
    Ok(())
}

/// The company and division that the request itself names; the rest is the client's and the M3 user's to give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    pub company: Option<Company>,
    pub division: Option<Division>,
}

impl Asked {
    /// The field wins over the option: real clients fix `cono` and vary `CONO`.
    pub fn wanted(&self) -> Result<Wanted, Fault> {
        let mut wanted = Wanted { company: self.options.company, division: self.options.division };
        for (field, given) in &self.fields {
            let invalid = |right: &str| Fault {
                kind: FaultKind::InputFieldInvalid,
                field: Some(*field),
                message: format!("Field {field} must be {right}"),
            };
            match field.as_str() {
                "CONO" if !given.trim().is_empty() => {
                    wanted.company = Some(Company::parse(given).map_err(|_| invalid("a company, 1 to 999"))?);
                }
                "DIVI" if !given.trim().is_empty() => {
                    wanted.division =
                        Some(Division::parse(given).map_err(|_| invalid("a division of at most three characters"))?);
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// Every field typed by its layout, in the layout's order. Company and division are `placed` later: what is wrong
    /// with the others is said before anybody is asked where the caller is at home.
    pub fn typed(&self, layout: &TransactionLayout) -> Result<Vec<Input>, Fault> {
        for (field, _) in &self.fields {
            if layout.input.position(*field).is_none() {
                return Err(self.unknown_field(*field, layout));
            }
        }
        let mut inputs = Vec::with_capacity(self.fields.len() + 2);
        for (at, field) in layout.input.fields().iter().enumerate() {
            if matches!(field.name.as_str(), "CONO" | "DIVI") {
                continue;
            }
            match self.given(field)? {
                Some(value) => inputs.push(Input { at: at as u16, value }),
                None if field.mandatory => {
                    return Err(Fault {
                        kind: FaultKind::MandatoryInputFieldNotFound,
                        field: Some(field.name),
                        message: format!("Mandatory input field {} not found", field.name),
                    });
                }
                None => {}
            }
        }
        Ok(inputs)
    }

    fn given(&self, field: &FieldLayout) -> Result<Option<Value>, Fault> {
        let Some((_, given)) = self.fields.iter().find(|(name, _)| *name == field.name) else { return Ok(None) };
        let value = Value::parse(field, given, self.options.dates)
            .map_err(|fault| value_fault(field, fault, self.options.dates))?;
        match value {
            Some(value) if is_export_query(self.program, field.name.as_str()) => query(field.name, &value).map(Some),
            value => Ok(value),
        }
    }

    fn unknown_field(&self, field: FieldName, layout: &TransactionLayout) -> Fault {
        Fault {
            kind: FaultKind::InputFieldNotFound,
            field: Some(field),
            message: format!("{}/{} has no input field {field}", layout.program, layout.name),
        }
    }
}

/// The query as it was understood: rules decide on that, and that is sent.
fn query(field: FieldName, value: &Value) -> Result<Value, Fault> {
    let understood = match value {
        Value::Text(text) => Export::parse(text).map_err(|fault| fault.to_string()),
        Value::Number(_) | Value::Date(_) | Value::Cleared => Err("it is no text".to_owned()),
    };
    match understood {
        Ok(export) => Ok(Value::Text(export.text.into())),
        Err(why) => Err(Fault {
            kind: FaultKind::InputFieldInvalid,
            field: Some(field),
            message: format!(
                "Field {field} is no query that is understood, {why}. It is written as: columns from one table where conditions"
            ),
        }),
    }
}

/// With company and division filled in where the transaction has them: M3 is never left to choose.
pub fn placed(mut inputs: Vec<Input>, layout: &TransactionLayout, place: Place) -> Vec<Input> {
    for (at, field) in layout.input.fields().iter().enumerate() {
        let value = match field.name.as_str() {
            "CONO" => Value::Number(place.company.to_string().into()),
            "DIVI" if !place.division.is_blank() => Value::Text(place.division.as_str().into()),
            _ => continue,
        };
        let at = at as u16;
        inputs.insert(inputs.partition_point(|input| input.at < at), Input { at, value });
    }
    inputs
}

fn value_fault(field: &FieldLayout, fault: ValueFault, dates: DateForm) -> Fault {
    let name = field.name;
    let (kind, message) = match fault {
        ValueFault::TooLong { most } => {
            (FaultKind::InputFieldTooLong, format!("Input field {name} is longer than its {most} characters"))
        }
        ValueFault::NotANumber => (
            FaultKind::InputFieldInvalid,
            format!("Input field {name} is not a number; write digits, a leading minus, a decimal point"),
        ),
        ValueFault::NotADate => (
            FaultKind::InputFieldInvalid,
            format!("Input field {name} is not a date of the form {dates:?}; yyyyMMdd is always understood"),
        ),
        ValueFault::Control => {
            (FaultKind::InputFieldInvalid, format!("Input field {name} has a control character, which M3 can't hold"))
        }
    };
    Fault { kind, field: Some(name), message }
}
