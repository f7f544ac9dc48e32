//! The copy on disk: plain JSON, replaced as a whole.

use crate::model::{FieldKind, FieldLayout, FieldName, Layout, ProgramName, TransactionLayout, TransactionName};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    transactions: Vec<Transaction>,
}

#[derive(Serialize, Deserialize)]
struct Transaction {
    program: String,
    name: String,
    description: String,
    multi: bool,
    input: Vec<Field>,
    output: Vec<Field>,
}

/// Name, type, from, length, mandatory, description.
#[derive(Serialize, Deserialize)]
struct Field(String, String, u16, u16, bool, String);

const VERSION: u32 = 1;
const MOST_BYTES: u64 = 256 * 1024 * 1024;

pub async fn read(path: &Path) -> io::Result<Vec<TransactionLayout>> {
    let text = match tokio::fs::metadata(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
        Ok(facts) if facts.len() > MOST_BYTES => return Err(io::Error::other("larger than a catalog can be")),
        Ok(_) => tokio::fs::read(path).await?,
    };
    parse(&text)
}

/// A file of another version, or with a name that is none, is refused as a whole.
fn parse(text: &[u8]) -> io::Result<Vec<TransactionLayout>> {
    let file: File = serde_json::from_slice(text)?;
    if file.version != VERSION {
        return Err(io::Error::other(format!("version {} of the file, {VERSION} expected", file.version)));
    }
    let layouts: Option<Vec<_>> = file.transactions.into_iter().map(layout).collect();
    layouts.ok_or_else(|| io::Error::other("a name or a type in it is not M3's"))
}

fn layout(saved: Transaction) -> Option<TransactionLayout> {
    let fields = |saved: Vec<Field>| -> Option<Layout> {
        let fields: Option<Vec<_>> = saved.into_iter().map(field).collect();
        fields.map(Layout::new)
    };
    Some(TransactionLayout {
        program: ProgramName::parse(&saved.program).ok()?,
        name: TransactionName::parse(&saved.name).ok()?,
        description: saved.description.into(),
        multi: saved.multi,
        input: fields(saved.input)?,
        output: fields(saved.output)?,
    })
}

fn field(Field(name, kind, from, length, mandatory, description): Field) -> Option<FieldLayout> {
    let (name, kind) = (FieldName::parse(&name).ok()?, FieldKind::of(&kind)?);
    Some(FieldLayout { name, kind, from, length, mandatory, description: description.into() })
}

pub(super) async fn write(path: &Path, layouts: Vec<Arc<TransactionLayout>>) -> io::Result<()> {
    // A whole M3 is megabytes of text: not on a thread that others wait for.
    let text =
        tokio::task::spawn_blocking(move || serde_json::to_vec(&of(&layouts))).await.map_err(io::Error::other)??;
    let fresh = path.with_extension("new");
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(&fresh, text).await?;
    tokio::fs::rename(&fresh, path).await
}

fn of(layouts: &[Arc<TransactionLayout>]) -> File {
    let fields = |layout: &Layout| -> Vec<Field> {
        let each = layout.fields().iter().map(|f| {
            Field(
                f.name.to_string(),
                f.kind.letter().to_string(),
                f.from,
                f.length,
                f.mandatory,
                f.description.to_string(),
            )
        });
        each.collect()
    };
    let mut transactions: Vec<_> = layouts
        .iter()
        .map(|layout| Transaction {
            program: layout.program.to_string(),
            name: layout.name.to_string(),
            description: layout.description.to_string(),
            multi: layout.multi,
            input: fields(&layout.input),
            output: fields(&layout.output),
        })
        .collect();
    transactions.sort_by(|a, b| (&a.program, &a.name).cmp(&(&b.program, &b.name)));
    File { version: VERSION, transactions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_read_back() {
        let name = FieldName::parse("CUNO").expect("a field name");
        let kind = FieldKind::Alphanumeric;
        let field = FieldLayout { name, kind, from: 16, length: 10, mandatory: true, description: "Customer".into() };
        let layout = TransactionLayout {
            program: ProgramName::parse("CRS610MI").expect("a program"),
            name: TransactionName::parse("GetBasicData").expect("a transaction"),
            description: "Get".into(),
            multi: false,
            input: Layout::new(vec![field]),
            output: Layout::default(),
        };
        let text = serde_json::to_vec(&of(&[Arc::new(layout.clone())])).expect("plain data");
        assert_eq!(parse(&text).expect("our own file"), [layout]);
    }

    #[test]
    fn a_file_with_a_name_that_is_none_is_refused_as_a_whole() {
        let text = br#"{"version":1,"transactions":[{"program":"CRS610MI;","name":"Get","description":"","multi":false,"input":[],"output":[]}]}"#;
        assert!(parse(text).is_err());
        assert!(parse(b"{\"version\":9,\"transactions\":[]}").is_err());
        assert!(parse(b"[").is_err());
    }
}
