//! A mapping file as it is written; nothing is understood yet but its TOML.
//!
//! ```toml
//! noun = "ItemMaster"
//! key = ["ITNO"]                          # with the company, the name of a document
//! entity = "company"                      # whose it is: company, or division
//! [[read]]                                # what is asked of M3 for it
//! name = "head"
//! transaction = "MMS200MI/Get"
//! with = { ITNO = "key.ITNO" }
//! [[write]]                               # what changes it
//! transaction = "MMS200MI/UpdItmBasic"
//! proof = "provable"                      # what can be known of it when M3's answer got lost
//! [document]
//! elements = [
//!   { path = "ItemMasterHeader/ItemID/ID", value = "head.ITNO", id = "document" },
//! ]
//! ```

use super::fault::{Fault, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) noun: Spanned<String>,
    /// A site's file: what it says is put over the shipped one.
    #[serde(default)]
    pub(super) extends: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) key: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) entity: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) division: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) location: Option<Spanned<String>>,
    /// It is off where no row of the publisher's table says otherwise.
    #[serde(default)]
    pub(super) off: Option<bool>,
    /// A record that this doesn't hold for has no document.
    #[serde(default)]
    pub(super) only: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) table: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) read: Vec<RawRead>,
    #[serde(default)]
    pub(super) write: Vec<RawWrite>,
    #[serde(default)]
    pub(super) watch: Vec<RawWatch>,
    #[serde(default)]
    pub(super) reference: Vec<RawReference>,
    #[serde(default)]
    pub(super) document: RawDocument,
}

/// A batch entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    pub(super) transaction: Spanned<String>,
    pub(super) batch: Spanned<String>,
    #[serde(default)]
    pub(super) enters: Vec<Spanned<String>>,
    pub(super) asks: Spanned<String>,
    pub(super) status: Spanned<String>,
    pub(super) done: Vec<Spanned<String>>,
    /// M3 has refused it, and somebody has to mend it there.
    #[serde(default)]
    pub(super) failed: Vec<Spanned<String>>,
    /// What numbers the parts of a record, which may be entered for one that is there already; and who tells of them.
    #[serde(default)]
    pub(super) part: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) asks_part: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRead {
    pub(super) name: Spanned<String>,
    pub(super) transaction: Spanned<String>,
    #[serde(default)]
    pub(super) with: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Its answer is a list.
    #[serde(default)]
    pub(super) list: bool,
    /// The other list whose records it adds to, and the fields that must agree.
    #[serde(default)]
    pub(super) joins: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) on: Vec<Spanned<String>>,
    /// What can't be read is as if M3 had answered nothing.
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWrite {
    pub(super) transaction: Spanned<String>,
    /// Where the transaction calls a key field otherwise: `{ ITNO = "CITN" }`.
    #[serde(default)]
    pub(super) key: BTreeMap<Spanned<String>, Spanned<String>>,
    /// `self`: the document itself goes; `parent`: a part of it.
    #[serde(default)]
    pub(super) deletes: Option<Spanned<String>>,
    /// `provable`, `state-only` or `never`. Wanted of every write: whoever writes a mapping has to have thought of it.
    #[serde(default)]
    pub(super) proof: Option<Spanned<String>>,
}

/// How a record is found whose number M3 gave and nobody heard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReference {
    pub(super) transaction: Spanned<String>,
    /// The caller's own reference.
    pub(super) field: Spanned<String>,
    pub(super) number: Spanned<String>,
    pub(super) list: Spanned<String>,
    #[serde(default)]
    pub(super) with: Vec<Spanned<String>>,
    pub(super) shows: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDocument {
    #[serde(default)]
    pub(super) elements: Vec<Spanned<RawElement>>,
    /// Paths of the shipped file that a site doesn't want.
    #[serde(default)]
    pub(super) without: Vec<Spanned<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawElement {
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) value: Option<String>,
    /// `document`: entity, location, variation and logical id; `entity`: the entity alone; `company`: the company alone.
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) when: Option<String>,
    #[serde(default)]
    pub(super) each: Option<String>,
    /// A custom field: its name, in the UserArea of `in`.
    #[serde(default)]
    pub(super) property: Option<String>,
    #[serde(default, rename = "in")]
    pub(super) within: Option<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
}

pub(super) fn read(source: &Source) -> Result<Written, Fault> {
    toml::from_str(&source.text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Fault::at(source, &span, error.message().to_owned(), "see the mapping files that are shipped for the shape")
    })
}
