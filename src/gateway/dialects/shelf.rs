//! Long texts that many are told alike: however many read one at a time, and however slowly, its bytes are there once,
//! and what a program's layouts say is written once for all who may call the same of it.
//!
//! Does not know: who may read what; a text is found by all that it was made of, so that nobody is handed another's.

use crate::model::{ProgramName, TransactionLayout, TransactionName};
use aws_lc_rs::digest;
use bytes::Bytes;
use moka::sync::Cache;
use serde_json::Value;
use std::sync::Arc;

/// Of all texts of a kind together. One that was put away lives on for as long as somebody reads it.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

type Hash = [u8; digest::SHA256_OUTPUT_LEN];

/// In which form a program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Metadata,
    OpenApi,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    form: Form,
    program: ProgramName,
    transactions: Box<[TransactionName]>,
}

/// A text and what it was made of: a layout that M3 told anew is another one, and so is its text.
#[derive(Debug)]
struct Document {
    layouts: Box<[Arc<TransactionLayout>]>,
    shelved: Shelved,
}

/// A text and the hash of it.
#[derive(Debug, Clone)]
pub(super) struct Shelved {
    pub(super) hash: Hash,
    pub(super) text: Bytes,
}

#[derive(Debug)]
pub(in crate::gateway) struct Shelf {
    documents: Cache<Key, Arc<Document>>,
    /// Lists of programs, by what they say.
    lists: Cache<Hash, Bytes>,
}

impl Shelf {
    pub(in crate::gateway) fn new() -> Self {
        let weight = |_: &Key, document: &Arc<Document>| weight(&document.shelved.text);
        let documents = Cache::builder().name("documents").weigher(weight).max_capacity(MOST_BYTES).build();
        let weight = |_: &Hash, text: &Bytes| self::weight(text);
        let lists = Cache::builder().name("lists").weigher(weight).max_capacity(MOST_BYTES).build();
        Self { documents, lists }
    }

    pub(super) fn document(
        &self,
        form: Form,
        program: ProgramName,
        layouts: &[Arc<TransactionLayout>],
        write: impl FnOnce() -> Value,
    ) -> Shelved {
        let key = Key { form, program, transactions: layouts.iter().map(|layout| layout.name).collect() };
        let same = |held: &Arc<Document>| held.layouts.iter().zip(layouts).all(|(held, now)| Arc::ptr_eq(held, now));
        let made = || Arc::new(Document { layouts: layouts.into(), shelved: Shelved::of(write().to_string()) });
        self.documents.entry(key).or_insert_with_if(made, |held| !same(held)).into_value().shelved.clone()
    }

    pub(super) fn list(&self, list: &Value) -> Shelved {
        let Shelved { hash, text } = Shelved::of(list.to_string());
        Shelved { hash, text: self.lists.get_with(hash, || text) }
    }
}

impl Shelved {
    fn of(text: String) -> Self {
        let mut hash = [0; digest::SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self { hash, text: text.into() }
    }
}

fn weight(text: &Bytes) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use serde_json::json;

    fn layout(name: &str, description: &str) -> Arc<TransactionLayout> {
        let (program, name) = (ProgramName::parse("CRS610MI"), TransactionName::parse(name));
        let (program, name) = (program.expect("a program"), name.expect("a transaction"));
        let (input, output) = (Layout::new(Vec::new()), Layout::new(Vec::new()));
        Arc::new(TransactionLayout { program, name, description: description.into(), multi: false, input, output })
    }

    fn told(shelf: &Shelf, form: Form, layouts: &[Arc<TransactionLayout>]) -> Bytes {
        let says = |layout: &Arc<TransactionLayout>| json!([layout.name.as_str(), &*layout.description]);
        shelf.document(form, layouts[0].program, layouts, || layouts.iter().map(says).collect()).text
    }

    #[test]
    fn a_program_is_written_once_for_all_who_may_call_the_same_of_it() {
        let shelf = Shelf::new();
        let (get, list) = (layout("GetBasicData", "a"), layout("LstByNumber", "b"));
        let both = [get.clone(), list];
        let one = told(&shelf, Form::Metadata, &both);
        assert_eq!(one.as_ptr(), told(&shelf, Form::Metadata, &both).as_ptr());
        assert_ne!(one, told(&shelf, Form::Metadata, &[get]), "who may call less is told less");
        let other = shelf.document(Form::OpenApi, both[0].program, &both, || json!({})).text;
        assert_ne!(one, other, "and another form is another text");
    }

    #[test]
    fn a_layout_that_m3_tells_anew_is_written_anew() {
        let shelf = Shelf::new();
        let _old = told(&shelf, Form::Metadata, &[layout("GetBasicData", "old")]);
        let new = [layout("GetBasicData", "new")];
        assert_eq!(told(&shelf, Form::Metadata, &new), r#"[["GetBasicData","new"]]"#);
        assert_eq!(told(&shelf, Form::Metadata, &new), r#"[["GetBasicData","new"]]"#);
    }

    #[test]
    fn the_same_list_is_held_once_and_another_is_another() {
        let shelf = Shelf::new();
        let [one, again, other] = ["a", "a", "b"].map(|name| shelf.list(&json!([name])));
        assert_eq!(one.text.as_ptr(), again.text.as_ptr());
        assert_ne!(one.hash, other.hash);
        let long = json!("x".repeat(MOST_BYTES as usize));
        assert!(
            shelf.list(&long).text.len() > MOST_BYTES as usize,
            "one that is too long to keep is told all the same"
        );
    }
}
