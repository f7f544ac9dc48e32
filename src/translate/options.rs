//! The options of the REST contract: lower-case names, as matrix or query, each with its default.

use crate::model::{Company, DateForm, Division, FieldName, Language, M3User};

/// White space of a JSON answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Indented, one member a line.
    #[default]
    Pretty,
    /// One record a line.
    Compact,
    /// No white space at all.
    Unformatted,
}

/// What the caller chose; `None` where the default depends on the dialect or on the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub company: Option<Company>,
    /// `divi=` is the blank division, which is not the same as no `divi` at all.
    pub division: Option<Division>,
    pub language: Option<Language>,
    pub max_records: Option<u32>,
    pub dates: DateForm,
    pub exclude_empty: bool,
    pub right_trim: Option<bool>,
    pub columns: Option<Vec<FieldName>>,
    pub format: Format,
    pub extended: bool,
    pub metadata: bool,
    pub run_as: Option<M3User>,
}

/// The options that have an effect, each in one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionName {
    Cono,
    Divi,
    Lanc,
    MaxRecs,
    DateFormat,
    ExcludeEmpty,
    RightTrim,
    ReturnCols,
    Format,
    ExtendedResult,
    Metadata,
    M3User,
}

impl OptionName {
    /// `None`: an option that M3 doesn't know either, or one without effect here; both are ignored as M3 does.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "cono" => Self::Cono,
            "divi" => Self::Divi,
            "lanc" => Self::Lanc,
            "maxrecs" => Self::MaxRecs,
            "dateformat" | "dateFormat" => Self::DateFormat,
            // Infor's own SDK leaves out an e; all three spellings are at work in the field.
            "excludempty" | "excludeempty" | "excludeEmpty" => Self::ExcludeEmpty,
            "righttrim" => Self::RightTrim,
            "returncols" => Self::ReturnCols,
            "format" => Self::Format,
            "extendedresult" => Self::ExtendedResult,
            "metadata" => Self::Metadata,
            "m3user" => Self::M3User,
            _ => return None,
        })
    }
}

impl Options {
    /// The message says what would be right.
    pub(super) fn set(&mut self, name: OptionName, value: &str) -> Result<(), &'static str> {
        match name {
            OptionName::Cono if value.trim().is_empty() => {}
            OptionName::Cono => self.company = Some(Company::parse(value).map_err(|_| "a company, 1 to 999")?),
            OptionName::Divi => self.division = Some(Division::parse(value).map_err(|_| "a division or nothing")?),
            OptionName::Lanc if value.is_empty() => {}
            OptionName::Lanc => {
                let language = Language::parse(&value.to_ascii_uppercase());
                self.language = Some(language.map_err(|_| "a language of two characters")?);
            }
            OptionName::MaxRecs => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let number = digits.then(|| value.parse().ok()).flatten();
                self.max_records = Some(number.ok_or("a whole number; 0 asks for all records")?);
            }
            OptionName::DateFormat => {
                self.dates = DateForm::named(value).ok_or("one of YMD8, YMD6, MDY6, DMY6, YWD5, YMD8-")?;
            }
            OptionName::ExcludeEmpty => self.exclude_empty = flag(value)?,
            OptionName::RightTrim => self.right_trim = Some(flag(value)?),
            OptionName::ReturnCols => self.columns = columns(value)?,
            OptionName::Format => {
                self.format = match value.to_ascii_uppercase().as_str() {
                    "PRETTY" => Format::Pretty,
                    "COMPACT" => Format::Compact,
                    "UNFORMATTED" => Format::Unformatted,
                    _ => return Err("PRETTY, COMPACT or UNFORMATTED"),
                };
            }
            OptionName::ExtendedResult => self.extended = flag(value)?,
            OptionName::Metadata => self.metadata = flag(value)?,
            OptionName::M3User if value.is_empty() => {}
            OptionName::M3User => self.run_as = Some(M3User::parse(value).map_err(|_| "an M3 user")?),
        }
        Ok(())
    }
}

fn flag(value: &str) -> Result<bool, &'static str> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false"),
    }
}

/// Order is kept, a second mention is dropped, and an empty list means all columns.
fn columns(value: &str) -> Result<Option<Vec<FieldName>>, &'static str> {
    let mut columns = Vec::new();
    for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let name = FieldName::parse(name).map_err(|_| "field names with commas between them")?;
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    Ok(if columns.is_empty() { None } else { Some(columns) })
}
