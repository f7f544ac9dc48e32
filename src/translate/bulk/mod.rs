//! The body of a bulk call: what holds for all of it, and its transactions one by one, in the body's order.
//!
//! Properties may stand in any order. With `program` before `transactions` each transaction is given out as soon as it
//! is whole; without it all are held until the body has ended. What follows from a body depends on its text alone and
//! never on how it arrived. Does not know: who runs the transactions, or what becomes of them.

mod document;
#[cfg(test)]
mod tests;

pub use document::BulkDocument;

use super::fault::{Fault, FaultKind};
use super::json::{Part, SplitFault, SplitLimits};
use super::options::{OptionName, Options};
use super::request::{Asked, RequestFault, options_alone};
use crate::model::{FieldName, ProgramName, TransactionName};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

/// For the splitter of a body.
pub const BULK_PATH: &[&str] = &["transactions"];
pub const BULK_LIMITS: SplitLimits = SplitLimits { depth: 8, value: 256 * 1024 };

/// A body that can't be read; the caller's fault. What ran before it is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BulkFault {
    #[error("the body: {0}")]
    Json(#[from] SplitFault),
    #[error("the body must be an object with program and transactions")]
    Shape,
    #[error("{name} must be {right}")]
    Property { name: String, right: &'static str },
    #[error("{name} is given twice")]
    Twice { name: String },
    #[error("the body names no program")]
    NoProgram,
    #[error("{name} stands behind transactions, which have begun to run; put it before them")]
    AfterTransactions { name: String },
}

impl BulkFault {
    /// The contract's `terminationErrorType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AfterTransactions { .. } => "PropertyAfterTransactions",
            _ => "MalformedRequest",
        }
    }
}

/// One transaction of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// As the caller wrote it, cut where it is no name of M3's.
    pub name: String,
    pub asked: Result<Asked, Fault>,
}

/// What a body gives next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Item(Item),
    /// Nothing before more of the body has come.
    More,
    /// The body has ended, and everything in it was given out.
    End,
    /// Nothing more will be given out: this is where the body goes wrong.
    Broken(BulkFault),
}

/// The body as far as it has come.
#[derive(Debug)]
pub struct Bulk {
    program: Option<ProgramName>,
    options: Options,
    /// Options of the query: they win over the body's.
    of_query: Vec<OptionName>,
    seen: Vec<String>,
    waiting: VecDeque<Vec<u8>>,
    /// What came behind a fault: never run.
    behind: VecDeque<Vec<u8>>,
    begun: bool,
    /// Nothing is given out before the body has ended.
    held: bool,
    /// So the caller wants it, whatever the body's order.
    whole: bool,
    /// An item may run: what it is decided on can't change any more.
    settled: bool,
    ended: bool,
    broken: Option<BulkFault>,
}

impl Bulk {
    /// Matrix and query of the call's URL.
    pub fn new(matrix: &str, query: Option<&str>) -> Result<Self, RequestFault> {
        let (options, of_query) = options_alone(matrix, query)?;
        Ok(Self {
            program: None,
            options,
            of_query,
            seen: Vec::new(),
            waiting: VecDeque::new(),
            behind: VecDeque::new(),
            begun: false,
            held: false,
            whole: false,
            settled: false,
            ended: false,
            broken: None,
        })
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Nothing runs of a body that is not whole: what is sent again under one name has to be one and the same.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// The next part of the body, as [`BULK_PATH`] splits it. Behind a fault only the transactions are counted.
    pub fn take(&mut self, part: Part) {
        match (&self.broken, part) {
            (None, part) => self.broken = self.read(part).err(),
            (Some(_), Part::Value { depth: 2, key: None, raw }) => self.behind.push_back(raw),
            (Some(_), _) => {}
        }
    }

    /// The body can't be read on.
    pub fn break_off(&mut self, fault: SplitFault) {
        self.broken.get_or_insert(BulkFault::Json(fault));
    }

    fn read(&mut self, part: Part) -> Result<(), BulkFault> {
        match part {
            Part::Open { depth: 0, array: false, .. } | Part::Close { depth: 1 } => Ok(()),
            Part::Open { depth: 1, array: true, key } => {
                self.once(key.as_deref().unwrap_or_default())?;
                self.begun = true;
                self.held = self.whole || self.program.is_none();
                Ok(())
            }
            Part::Value { depth: 1, key: Some(name), raw } => self.property(&name, &raw),
            Part::Value { depth: 2, key: None, raw } => {
                self.waiting.push_back(raw);
                self.settled |= !self.held;
                Ok(())
            }
            Part::Close { depth: 0 } if !self.begun => Err(BulkFault::Shape),
            Part::Close { depth: 0 } if self.program.is_none() => Err(BulkFault::NoProgram),
            Part::Close { depth: 0 } => {
                self.ended = true;
                Ok(())
            }
            Part::Open { .. } | Part::Value { .. } | Part::Close { .. } => Err(BulkFault::Shape),
        }
    }

    fn once(&mut self, name: &str) -> Result<(), BulkFault> {
        if self.seen.iter().any(|seen| seen == name) {
            return Err(BulkFault::Twice { name: shown(name) });
        }
        // A body with more names than this has something else in mind.
        if self.seen.len() == MOST_PROPERTIES {
            return Err(BulkFault::Shape);
        }
        self.seen.push(name.to_owned());
        Ok(())
    }

    fn property(&mut self, name: &str, raw: &[u8]) -> Result<(), BulkFault> {
        self.once(name)?;
        let option = match name {
            "program" => None,
            "transactions" => return Err(BulkFault::Shape),
            "cono" => Some(OptionName::Cono),
            "divi" => Some(OptionName::Divi),
            "lanc" => Some(OptionName::Lanc),
            "dateFormat" => Some(OptionName::DateFormat),
            "excludeEmptyValues" => Some(OptionName::ExcludeEmpty),
            "rightTrim" => Some(OptionName::RightTrim),
            "maxReturnedRecords" => Some(OptionName::MaxRecs),
            // `locale`, `timeZone`, and whatever M3 doesn't know either; it has to be JSON all the same.
            _ => return json(raw),
        };
        if self.settled {
            return Err(BulkFault::AfterTransactions { name: name.to_owned() });
        }
        let Some(value) = text(raw, name)? else { return Ok(()) };
        let wrong = |right| BulkFault::Property { name: name.to_owned(), right };
        match option {
            None => {
                let program = ProgramName::parse(&value).map_err(|_| wrong("the name of an MI program"))?;
                self.program = Some(program);
            }
            Some(option) if self.of_query.contains(&option) => {}
            Some(option) => self.options.set(option, &value).map_err(wrong)?,
        }
        Ok(())
    }

    /// The next transaction that may run, in the body's order. A fault comes after everything that stands before it.
    pub fn next_item(&mut self) -> Next {
        let may_run = !self.held || (self.ended && self.broken.is_none());
        let program = self.program.filter(|_| may_run);
        match program.and_then(|program| Some((program, self.waiting.pop_front()?))) {
            Some((program, raw)) => {
                match item(program, &self.options, self.of_query.contains(&OptionName::ReturnCols), &raw) {
                    Ok(item) => Next::Item(item),
                    Err(fault) => {
                        self.waiting.push_front(raw);
                        self.broken = Some(fault.clone());
                        self.held = true;
                        Next::Broken(fault)
                    }
                }
            }
            None => match &self.broken {
                Some(fault) => Next::Broken(fault.clone()),
                None if self.ended => Next::End,
                None => Next::More,
            },
        }
    }

    /// Transactions are given out as they come, and not held until the body has ended.
    pub fn gives_out(&self) -> bool {
        self.begun && !self.held
    }

    /// The name of the next transaction that will not run.
    pub fn next_left_out(&mut self) -> Option<String> {
        let raw = self.waiting.pop_front().or_else(|| self.behind.pop_front())?;
        Some(named(&raw).unwrap_or_default())
    }
}

const MOST_PROPERTIES: usize = 64;
const MOST_FIELDS: usize = 1_000;
/// What the caller wrote is repeated to him, but not at any length.
const SHOWN: usize = 40;

fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

fn json(raw: &[u8]) -> Result<(), BulkFault> {
    serde_json::from_slice::<serde::de::IgnoredAny>(raw).map(drop).map_err(|_| BulkFault::Shape)
}

/// A value of the body as the text that M3 gets: a string, a number as it was written, a flag; nothing for null.
fn text<'a>(raw: &'a [u8], name: &str) -> Result<Option<Cow<'a, str>>, BulkFault> {
    let wrong = || BulkFault::Property { name: shown(name), right: "a string or a number" };
    Ok(match raw.first() {
        Some(b'"') => match serde_json::from_slice(raw) {
            Ok(plain) => Some(Cow::Borrowed(plain)),
            Err(_) => Some(Cow::Owned(serde_json::from_slice(raw).map_err(|_| wrong())?)),
        },
        Some(b'n') if raw == b"null" => None,
        Some(b'{' | b'[') => return Err(wrong()),
        // A number never passes through a float: its digits are what was written.
        Some(_) => {
            json(raw)?;
            Some(Cow::Borrowed(std::str::from_utf8(raw).map_err(|_| wrong())?))
        }
        None => return Err(wrong()),
    })
}

/// An object's members in their order; the same name twice is refused, which a map would hide.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Taken;
        impl<'de> Visitor<'de> for Taken {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Taken)
    }
}

/// Borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn members<'a>(raw: &'a [u8], what: &'static str) -> Result<Members<'a>, BulkFault> {
    let wrong = || BulkFault::Property { name: what.to_owned(), right: "an object" };
    let found: Members<'a> = serde_json::from_slice(raw).map_err(|_| wrong())?;
    if found.0.len() > MOST_FIELDS {
        return Err(BulkFault::Property { name: what.to_owned(), right: "an object of at most 1000 members" });
    }
    let mut names: Vec<&str> = found.0.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(BulkFault::Twice { name: shown(two[0]) }),
        None => Ok(found),
    }
}

/// What a transaction that isn't run is called, whatever is wrong with it.
fn named(raw: &[u8]) -> Option<String> {
    let members: Members<'_> = serde_json::from_slice(raw).ok()?;
    let (_, name) = members.0.iter().find(|(member, _)| member == "transaction")?;
    Some(shown(&text(name.get().as_bytes(), "transaction").ok()??))
}

fn item(program: ProgramName, options: &Options, columns_given: bool, raw: &[u8]) -> Result<Item, BulkFault> {
    let members = members(raw, "a transaction")?;
    let (mut name, mut record, mut columns) = (None, None, None);
    for (member, value) in &members.0 {
        match member.as_ref() {
            "transaction" => name = text(value.get().as_bytes(), "transaction")?,
            "record" => record = Some(value.get()).filter(|text| *text != "null"),
            "selectedColumns" => columns = Some(*value).filter(|value| value.get() != "null"),
            _ => {}
        }
    }
    let Some(name) = name else {
        return Err(BulkFault::Property { name: "transaction".to_owned(), right: "there, in every item" });
    };
    let mut options = options.clone();
    if let Some(columns) = columns.filter(|_| !columns_given) {
        let wrong = || BulkFault::Property { name: "selectedColumns".to_owned(), right: "a list of field names" };
        let names: Vec<Cow<'_, str>> = serde_json::from_str(columns.get()).map_err(|_| wrong())?;
        options.set(OptionName::ReturnCols, &names.join(",")).map_err(|_| wrong())?;
    }
    let mut fields = Vec::new();
    let (mut fault, mut cursor) = (None, None);
    for (field, value) in record.map_or(Ok(Members(Vec::new())), |text| self::members(text.as_bytes(), "record"))?.0 {
        if field == "_cursor" {
            cursor = text(value.get().as_bytes(), "_cursor")?.map(Cow::into_owned);
        }
        if field.starts_with('_') {
            continue;
        }
        let Some(value) = text(value.get().as_bytes(), &field)? else { continue };
        match FieldName::parse(&field) {
            Ok(field) => fields.push((field, value.into_owned())),
            Err(_) => fault = fault.or(Some(no_field(&field))),
        }
    }
    let asked = match (TransactionName::parse(&name), fault) {
        (Ok(transaction), None) => Ok(Asked { program, transaction, options, fields, cursor, rid: None }),
        (Ok(_), Some(fault)) => Err(fault),
        (Err(_), _) => Err(Fault {
            kind: FaultKind::TransactionNotFound,
            field: None,
            message: format!("Transaction {} not found in program {program}", shown(&name)),
        }),
    };
    Ok(Item { name: shown(&name), asked })
}

fn no_field(name: &str) -> Fault {
    Fault {
        kind: FaultKind::InputFieldNotFound,
        field: None,
        message: format!("{:?} is no field name (upper case letters and digits)", shown(name)),
    }
}
